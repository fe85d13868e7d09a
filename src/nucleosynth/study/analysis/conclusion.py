"""The conclusion of a study, in sentences that follow from the bounds of its intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nucleosynth.evaluate.statistics.bootstrap import MINIMUM_PATIENTS
from nucleosynth.study.design.config import StudyConfig

Record = Mapping[str, Any]
LEVEL = 0.05
"""Significance level of p-values, as of the 95 % intervals."""


def study_verdict(
    study: StudyConfig,
    claim: Record | None,
    comparisons: Sequence[Record],
    scores: Record,
    *,
    segmenters: Record | None = None,
    missing: int = 0,
    classes: bool = True,
) -> dict[str, Any]:
    """Write what the study shows.

    Parameters
    ----------
    claim
        Of :func:`~nucleosynth.study.analysis.claim.claim`.
    segmenters
        Of :func:`~nucleosynth.study.analysis.segmenter_summary.read_segmenters`.
    missing
        Runs that have not been scored on the test patients.
    """
    lines = [
        *_claim_lines(claim, comparisons),
        *_arm_lines(study, claim, comparisons),
        *_nuclei_lines(segmenters),
        *_mask_lines(scores.get("agreement")),
        *_fidelity_lines(scores.get("fidelity")),
    ]
    return {"headline": _headline(study, claim, comparisons, missing, classes=classes), "lines": lines}


def _headline(
    study: StudyConfig, claim: Record | None, comparisons: Sequence[Record], missing: int, *, classes: bool
) -> str:
    if missing:
        what = "1 run has" if missing == 1 else f"{missing} runs have"
        return f"Not finished: {what} not been scored on the test patients yet."
    if not classes:
        return "No classes, so no classifier: the generator is evaluated by its masks and its fidelity."
    if claim is None:
        return "No arm with real and synthetic tiles was run."
    arm, metrics = claim["arm"], " and ".join(map(words, claim["metrics"]))
    own = _of_claim(claim, comparisons)
    if all(c["interval"] is None for c in own):
        return f"Too few test patients ({_few(own[0])}) for a claim; see each patient's difference."
    above = f"{arm} is above {_listed(claim['rivals'])} in {metrics}"
    if claim["holds"] and claim["lacking"]:
        return f"No claim yet: {above}, but a claim of help also needs {_listed(claim['lacking'])}."
    if claim["holds"]:
        return f"Synthetic tiles help: {above}."
    primary = study.report.primary
    below = [c["baseline"] for c in own if c["verdict"] == "harms" and c["metric"] == primary]
    if below:
        return f"No help shown; {arm} is below {_listed(below)} in {words(primary)}."
    return f"No help shown: {arm} is not above {_listed(claim['rivals'], 'or')} in both {metrics}."


def _few(comparison: Record) -> str:
    """Return the number of patients or, if it is large enough, the number with tiles of the rarest class."""
    n, of_class = comparison["n_patients"], comparison["n_of_class"]
    return str(n) if n < MINIMUM_PATIENTS else f"{of_class} of {n} have tiles of the rarest class"


def _of_claim(claim: Record, comparisons: Iterable[Record]) -> list[Record]:
    return [
        c
        for c in comparisons
        if (c["arm"], c["fraction"]) == (claim["arm"], claim["fraction"])
        and c["baseline"] in claim["rivals"]
        and c["metric"] in claim["metrics"]
    ]


def _claim_lines(claim: Record | None, comparisons: Sequence[Record]) -> list[str]:
    """Return the lines of the claim; none where a single comparison is enough."""
    if claim is None or len(claim["rivals"]) < 2:
        return []
    return [_line(c) for c in _of_claim(claim, comparisons) if c["difference"] is not None]


def _arm_lines(study: StudyConfig, claim: Record | None, comparisons: Iterable[Record]) -> list[str]:
    """Compare every arm with real tiles alone, in the primary metric, without what the claim says already."""
    claimed = _of_claim(claim, comparisons) if claim is not None and len(claim["rivals"]) > 1 else []
    return [
        _line(c)
        for c in comparisons
        if c["metric"] == study.report.primary
        and c["baseline"] == "real"
        and c["difference"] is not None
        and c not in claimed
    ]


def _line(c: Record) -> str:
    at = "" if c["fraction"] == 1 else f" with {100 * c['fraction']:g} % of the training patients"
    bounds = c["interval"]
    text = "" if bounds is None else f" (95 % interval {bounds[0]:+.3f} to {bounds[1]:+.3f})"
    return (
        f"{c['arm']} minus {c['baseline']}{at}, {words(c['metric'])}: {c['difference']:+.3f}{text}; "
        f"{_outcome(c)}."
    )


def _outcome(c: Record) -> str:
    """Return the verdict of a comparison; if it is one of several, with Holm's correction."""
    verdict: str = c["verdict"].split(":")[0]
    p = c.get("p_holm")
    if p is None or verdict not in ("helps", "harms"):
        return verdict
    if p < LEVEL:
        return f"{verdict} (p = {p:.2g} after Holm's correction)"
    return f"{verdict} uncorrected, no longer after Holm's correction for all comparisons (p = {p:.2g})"


def _nuclei_lines(segmenters: Record | None) -> list[str]:
    """Compare PQ of segmenters trained on synthetic tiles with PQ of those trained on real tiles."""
    if segmenters is None:
        return []
    reached = {(a["arm"], a["fraction"]): a["metrics"]["pq"]["mean"] for a in segmenters["arms"]}
    lines, largest = [], max((fraction for _, fraction in reached), default=1.0)
    for (arm, fraction), value in reached.items():
        if arm == "real" or fraction != largest or ("real", fraction) not in reached:
            continue
        real = reached["real", fraction]
        what = {"synthetic-only": "synthetic tiles alone", "both": "real and synthetic tiles"}[arm]
        found = [
            c
            for c in segmenters["comparisons"]
            if (c["arm"], c["fraction"], c["metric"]) == (arm, fraction, "pq")
        ]
        how = _outcome(found[0]) if found else "not compared"
        lines.append(
            f"Segmenters trained on {what} reach PQ {value:.3f} on real test tiles, on real ones "
            f"{real:.3f}{f' ({value / real:.0%} of it)' if real else ''}; {how}."
        )
    return lines


def _mask_lines(agreement: Record | None) -> list[str]:
    test = (agreement or {}).get("test")
    if not test or test["iou"] is None:
        return []
    line = f"Masks requested and found ({test['judge']}): IoU {test['iou']:.3f}"
    if test["chance"] is not None:
        line += f", chance level {test['chance']:.3f}"
    if test["corrected"] is not None:
        line += f", on real tiles {test['ceiling']:.3f}; corrected agreement {test['corrected']:.2f}"
    return [line + "."]


def _fidelity_lines(fidelity: Record | None) -> list[str]:
    test = (fidelity or {}).get("test")
    if not test or test["kid"] is None:
        return []
    reference = test["real_reference"]
    within, between = (
        ("unknown" if reference[k] is None else f"{reference[k]:.3f}") for k in ("within", "between")
    )
    kid = (
        f"KID to the training patients ({test['extractor']}, n = {test['n']}): {test['kid']:.3f}; "
        f"other real patients {between}, two halves of the training patients {within}."
    )
    return [kid, *_coverage_lines(test["neighbours"])]


def _coverage_lines(neighbours: Record) -> list[str]:
    """Return the coverage; nothing without two training patients."""
    if neighbours["coverage"]["of_real"] is None:
        return []
    found = neighbours["coverage"]
    return [
        f"Coverage of training patients ({neighbours['n']} tiles): {found['synthetic']:.3f}, by as many real "
        f"tiles of others {found['real']:.3f}: {found['of_real']:.2f} of real."
    ]


def _listed(names: Sequence[str], last: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def words(metric: str) -> str:
    """Return a metric's name as written in a sentence."""
    return {"auroc": "AUROC", "kappa": "quadratic kappa", "macro_f1": "macro-F1"}.get(
        metric, metric.replace("_", " ")
    )
