"""The verdict of a study: its lines on the generator and its claim."""

from __future__ import annotations

import pytest
from tests.phantoms import tiny_study

from nucleosynth.config import parse
from nucleosynth.study.analysis.claim import claim
from nucleosynth.study.analysis.conclusion import study_verdict
from nucleosynth.study.design.config import StudyConfig

TEST = {
    "kid": 0.0412,
    "extractor": "lite0@224",
    "n": 80,
    "real_reference": {"within": 0.03, "between": None},
}
COVERAGE = {"synthetic": 0.444, "real": 0.8, "of_real": 0.555}


def lines(test: dict[str, object]) -> list[str]:
    study = parse(StudyConfig, tiny_study())
    return study_verdict(study, None, [], {"fidelity": {"test": test}})["lines"]


def test_coverage_follows_kid_where_it_was_measured() -> None:
    alone = {"synthetic": 0.444, "real": None, "of_real": None}
    (kid,) = lines({**TEST, "neighbours": {"k": 5, "n": 70, "coverage": alone}})
    assert "KID to the training patients (lite0@224, n = 80): 0.041; other real patients unknown" in kid
    assert lines({**TEST, "neighbours": {"k": 5, "n": 70, "coverage": COVERAGE}}) == [
        kid,
        "Coverage of training patients (70 tiles): 0.444, by as many real tiles of others 0.800: "
        "0.56 of real.",
    ]


@pytest.mark.parametrize(
    ("p_holm", "says"),
    [
        (None, "helps."),
        (0.012, "helps (p = 0.012 after Holm's correction)."),
        (0.136, "helps uncorrected, no longer after Holm's correction for all comparisons (p = 0.14)."),
    ],
)
def test_a_secondary_difference_says_whether_it_survives_correction(p_holm: float | None, says: str) -> None:
    study = parse(StudyConfig, tiny_study())
    one = {
        "arm": "augmented",
        "baseline": "real",
        "fraction": 0.1,
        "metric": study.report.primary,
        "difference": 0.048,
        "interval": [0.014, 0.086],
        "verdict": "helps",
        "p_holm": p_holm,
    }
    (line,) = study_verdict(study, None, [one], {})["lines"]
    assert line.endswith(f"+0.048 (95 % interval +0.014 to +0.086); {says}")
    assert "with 10 % of the training patients" in line


def claimed(lacking: list[str], low: float) -> str:
    """Return the headline of an arm that is above its rival by ``low`` at least."""
    study = parse(StudyConfig, tiny_study())
    metrics = study.report.claimed
    one = {"arm": "real+50%", "baseline": "real", "fraction": 1.0, "difference": 0.05, "p_holm": None}
    found = [
        {**one, "metric": m, "interval": [low, 0.1], "verdict": "any", "n_patients": 40} for m in metrics
    ]
    claim = {"arm": "real+50%", "fraction": 1.0, "rivals": ["real"], "metrics": metrics, "holds": low > 0}
    return str(study_verdict(study, {**claim, "lacking": lacking}, found, {})["headline"])


def test_help_is_claimed_where_nothing_is_lacking() -> None:
    above = "real+50% is above real in balanced accuracy and AUROC"
    assert claimed([], 0.01) == f"Synthetic tiles help: {above}."
    two = ["3 classifier seeds (here 2)", "the arm augmented"]
    needs = f"No claim yet: {above}, but a claim of help also needs {' and '.join(two)}."
    assert claimed(two, 0.01) == needs
    assert claimed(two, -0.01).startswith("No help shown")


@pytest.mark.parametrize(
    ("arms", "changes", "lacking"),
    [
        (["real", "augmented", "oversampled"], {}, []),
        (["real", "augmented"], {"classifier": {"balance": "sampler"}}, []),
        (["real", "augmented"], {}, ["the arm oversampled"]),
        (["real"], {}, ["the arm augmented", "the arm oversampled"]),
        (["real", "augmented", "oversampled"], {"generator": {"seeds": 4}}, ["5 generators (here 4)"]),
        (["real", "augmented", "oversampled"], {"classifier": {"seeds": 2}}, ["3 classifier seeds (here 2)"]),
        (["real", "augmented", "oversampled", "shuffled"], {}, ["the scores of shuffled"]),
    ],
)
def test_what_a_claim_of_help_lacks(arms, changes, lacking) -> None:
    own = tiny_study(arms={"doses": [0.5], "controls": arms})
    sizes = {"generator": {"seeds": 5}, "classifier": {"seeds": 3}}
    for section, setting in sizes.items():
        own[section] = {**own[section], **setting, **changes.get(section, {})}
    study = parse(StudyConfig, own)

    class Primary:
        def primary(self, fraction):
            return "real+50%"

    one = {"arm": "real+50%", "fraction": 1.0, "interval": [0.01, 0.1]}
    scored = [
        {**one, "baseline": baseline, "metric": metric}
        for baseline in arms
        if baseline != "shuffled"
        for metric in study.report.claimed
    ]
    found = claim(study, Primary(), scored)
    assert found["holds"]
    assert found["lacking"] == lacking
