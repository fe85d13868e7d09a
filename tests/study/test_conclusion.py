"""What a verdict says of the generator."""

from __future__ import annotations

import pytest
from tests.phantoms import tiny_study

from nucleosynth.config import parse
from nucleosynth.study.conclusion import study_verdict
from nucleosynth.study.protocol import StudyConfig

TEST = {
    "kid": 0.0412,
    "extractor": "lite0@224",
    "n": 80,
    "floor": {"within": 0.03, "between": None},
}
COVERAGE = {"synthetic": 0.444, "real": 0.8, "of_real": 0.555}


def lines(test: dict[str, object]) -> list[str]:
    study = parse(StudyConfig, tiny_study())
    return study_verdict(study, None, [], {"fidelity": {"test": test}})["lines"]


def test_coverage_stands_beside_kid_where_it_was_measured() -> None:
    (kid,) = lines(TEST)  # a record of an older version
    assert "KID to the training patients (lite0@224, n = 80): 0.041; unseen real patients unknown" in kid
    assert lines({**TEST, "neighbours": {"k": 5, "n": 70, "coverage": COVERAGE}}) == [
        kid,
        "Coverage of training patients (70 tiles): 0.444, by as many real tiles of others 0.800: "
        "0.56 of real.",
    ]
    alone = {"synthetic": 0.444, "real": None, "of_real": None}
    assert lines({**TEST, "neighbours": {"k": 5, "n": 70, "coverage": alone}}) == [kid]


@pytest.mark.parametrize(
    ("p_holm", "says"),
    [
        (None, "helps."),
        (0.012, "helps (p = 0.012 after Holm's correction)."),
        (0.136, "helps taken alone, no longer after Holm's correction for all comparisons (p = 0.14)."),
    ],
)
def test_a_secondary_difference_says_whether_it_outlives_their_number(
    p_holm: float | None, says: str
) -> None:
    study = parse(StudyConfig, tiny_study())
    one = {
        "arm": "augmented",
        "baseline": "real",
        "share": 0.1,
        "metric": study.report.primary,
        "difference": 0.048,
        "interval": [0.014, 0.086],
        "verdict": "helps",
        "p_holm": p_holm,
    }
    (line,) = study_verdict(study, None, [one], {})["lines"]
    assert line.endswith(f"+0.048 (95 % interval +0.014 to +0.086); {says}")
    assert "with 10 % of the training patients" in line


def claimed(n: int, low: float) -> str:
    """Return the headline where an arm is above its rival by ``low`` at least, with ``n`` generators."""
    study = parse(StudyConfig, tiny_study())
    metrics = study.report.claimed
    one = {"arm": "real+50%", "baseline": "real", "share": 1.0, "difference": 0.05, "p_holm": None}
    found = [
        {**one, "metric": m, "interval": [low, 0.1], "verdict": "any", "n_patients": 40} for m in metrics
    ]
    claim = {"arm": "real+50%", "share": 1.0, "rivals": ["real"], "metrics": metrics, "holds": low > 0}
    return str(study_verdict(study, {**claim, "generators": n, "enough": n >= 5}, found, {})["headline"])


def test_help_is_claimed_of_five_generators_and_more() -> None:
    above = "real+50% is above real in balanced accuracy and AUROC"
    assert claimed(5, 0.01) == f"Synthetic tiles help: {above}."
    assert claimed(2, 0.01) == f"No claim yet: {above}, with 2 generators; a claim of help needs 5."
    assert claimed(1, 0.01) == f"No claim yet: {above}, with 1 generator; a claim of help needs 5."
    assert claimed(1, -0.01).startswith("No help shown")
