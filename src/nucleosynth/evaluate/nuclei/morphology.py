"""Comparison of synthetic and real nuclei, by measure and class."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.arguments import as_number, as_text
from nucleosynth.data.inputs import as_tileset
from nucleosynth.errors import InputError
from nucleosynth.files import write_json
from nucleosynth.nuclei.morphology import NUCLEUS_MEASURES, TILE_MEASURES, nuclei_table, tile_table
from nucleosynth.nuclei.size_reference import BenignReference, benign_reference, given_reference
from nucleosynth.render.distributions import Panel, distributions
from nucleosynth.render.figure import save_figure
from nucleosynth.render.wording import metric_name, sentence_case
from nucleosynth.segmentation.segmenter import get_segmenter
from nucleosynth.segmentation.tilesets import find_nuclei

if TYPE_CHECKING:
    import pyarrow as pa

    from nucleosynth.data.tileset import TileSet

Floats = NDArray[np.float64]

MIN_VALUES = 10
"""A patient with fewer values of a measure is not compared with the others."""

MEASURES = {**NUCLEUS_MEASURES, **TILE_MEASURES}
EVERY = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Values of one measure: k of whole nuclei, or of tiles."""

    values: Floats  # (k,) no NaN
    label: NDArray[np.int64]  # (k,) class of the tile, -1 = unlabelled
    patient: NDArray[np.str_]  # (k,) of the donor, if synthetic; empty if unknown

    def of_class(self, label: int | None) -> Sample:
        """Return the values of one class; None returns all."""
        if label is None:
            return self
        keep = self.label == label
        return Sample(values=self.values[keep], label=self.label[keep], patient=self.patient[keep])


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The scores, plain JSON, and the samples of each measure, for plots."""

    scores: dict[str, Any]
    real: Mapping[str, Sample]
    synthetic: Mapping[str, Sample]
    real_classes: Sequence[str]
    synthetic_classes: Sequence[str]


def compare_morphology(
    real: TileSet,
    synthetic: TileSet,
    *,
    found_by: str | None = None,
    benign: str | float | None = None,
    patients: Sequence[str] | None = None,
) -> Comparison:
    """Compare the nuclei of real and synthetic tiles.

    Parameters
    ----------
    real, synthetic
        TileSets of one tile size and scale, or the paths of them.
    found_by : str, optional
        Segmenter that finds the nuclei of both. None uses the stored masks, which are the requested ones for
        synthetic tiles: then size and shape evaluate the layouts, and only the staining evaluates the
        generator.
    benign : str or float, optional
        Class of benign tissue, or the diameter of benign nuclei in µm. None uses the lowest class if classes
        are ordered and it has enough nuclei; otherwise there is no size ratio.
    patients
        Of the real tiles only those of these patients are read; None reads all.

    Returns
    -------
    Comparison
        ``scores``: ``masks``, their origin; ``benign``, the reference and its rule; ``real`` and
        ``synthetic``, their ``tiles``, ``nuclei``, ``whole_nuclei`` and ``size_grades`` (share of the tiles
        that have one); and ``measures``, by class (``all`` first), the scores of :func:`distance_scores`.
        Nuclei cut by a tile's border are left out.

    Raises
    ------
    InputError
        Tiles of different size or scale, or of unknown scale; no masks; an unknown segmenter or class.
    """
    real, synthetic = as_tileset(real, "real"), as_tileset(synthetic, "synthetic")
    found_by = None if found_by is None else as_text(found_by, "found_by", such_as="judge")
    benign = benign if benign is None or isinstance(benign, str) else as_number(benign, "benign", least=0)
    mpp = _common_scale(real, synthetic)
    read = [np.arange(len(real)) if patients is None else real.rows_of(patients), np.arange(len(synthetic))]
    groups = list(zip((real, synthetic), read, strict=True))
    tables = [_nuclei(tiles, chosen, found_by, mpp) for tiles, chosen in groups]
    reference = _reference(real, tables[0], real.labels[read[0]], benign)
    rows = [tile_table(table, benign_um=reference.diameter_um) for table in tables]
    pair = [
        samples(table, row, labels=tiles.labels[chosen], patients=tiles.patients[chosen])
        for (tiles, chosen), table, row in zip(groups, tables, rows, strict=True)
    ]
    classes = [name for name in real.classes if name in synthetic.classes]
    scores = {
        "masks": "carried by the tiles" if found_by is None else f"found by {found_by}",
        "mpp": mpp,
        "benign": asdict(reference),
        "real": _summary(rows[0]),
        "synthetic": _summary(rows[1]),
        "measures": {
            name: {
                measure: distance_scores(
                    pair[0][measure].of_class(_index(real, name)),
                    pair[1][measure].of_class(_index(synthetic, name)),
                )
                for measure in MEASURES
            }
            for name in (EVERY, *classes)
        },
    }
    return Comparison(
        scores=scores,
        real=pair[0],
        synthetic=pair[1],
        real_classes=real.classes,
        synthetic_classes=synthetic.classes,
    )


def write_comparison(found: Comparison, out: Path) -> list[Path]:
    """Write ``morphology.json`` and one plot per class into a folder; each file appears whole.

    Returns
    -------
    list of Path
        The files, the scores first.
    """
    written = [out / "morphology.json"]
    write_json(written[0], found.scores)
    classes = found.real_classes, found.synthetic_classes
    for name, scores in found.scores["measures"].items():
        labels = [None if name == EVERY else known.index(name) for known in classes]
        panels = [
            Panel(
                name=sentence_case(metric_name(measure)),
                unit=unit,
                real=found.real[measure].of_class(labels[0]).values,
                synthetic=found.synthetic[measure].of_class(labels[1]).values,
                distance=scores[measure]["distance_sd"],
                reference=scores[measure]["real_reference_sd"],
            )
            for measure, unit in MEASURES.items()
        ]
        title = f"Nuclei of {'all tiles' if name == EVERY else name}, masks {found.scores['masks']}"
        plain = re.sub(r"[^\w.-]+", "-", name)
        written.append(save_figure(distributions(panels, title=title), out / f"morphology-{plain}.png"))
    return written


def distance_scores(real: Sample, synthetic: Sample) -> dict[str, Any]:
    """Return the distance of two samples of a measure, with the distance between real patients.

    Returns
    -------
    dict
        ``n_real``, ``n_synthetic``; ``median_real``, ``median_synthetic``; ``distance``, 1-Wasserstein in the
        unit of the measure, and ``distance_sd``, in standard deviations of the real values;
        ``real_reference`` and ``real_reference_sd``, the median over patients of the distance of one real
        patient to all others, and ``reference_patients``, the number with at least `MIN_VALUES` values. None
        where there is nothing to compare: an empty sample, fewer than two patients, or no spread.
    """
    spread = float(np.std(real.values)) if len(real.values) else 0.0
    distance = _distance(real.values, synthetic.values)
    apart = patient_distances(real)
    reference = float(np.median(list(apart.values()))) if apart else None
    return {
        "n_real": len(real.values),
        "n_synthetic": len(synthetic.values),
        "median_real": _median(real.values),
        "median_synthetic": _median(synthetic.values),
        "distance": distance,
        "distance_sd": distance / spread if distance is not None and spread > 0 else None,
        "real_reference": reference,
        "real_reference_sd": reference / spread if reference is not None and spread > 0 else None,
        "reference_patients": len(apart),
    }


def patient_distances(sample: Sample, *, minimum: int = MIN_VALUES) -> dict[str, float]:
    """Return the 1-Wasserstein distance between each patient and all others, by patient.

    Parameters
    ----------
    sample
        Real values. Patients with fewer than `minimum` get no distance, but count among the others; values of
        unknown patients are left out.
    """
    known = sample.patient != ""
    values, patient = sample.values[known], sample.patient[known]
    found = {}
    for name in np.unique(patient):
        own = patient == name
        if own.sum() >= minimum and not own.all():
            distance = _distance(values[own], values[~own])
            assert distance is not None
            found[str(name)] = distance
    return found if len(found) > 1 else {}


def _distance(a: Floats, b: Floats) -> float | None:
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(a, b)) if len(a) and len(b) else None


def _median(values: Floats) -> float | None:
    return float(np.median(values)) if len(values) else None


def _common_scale(real: TileSet, synthetic: TileSet) -> float:
    for what, ours, theirs in (
        ("µm/px", real.scale, synthetic.scale),
        ("px (height, width)", real.size, synthetic.size),
    ):
        if ours != theirs:
            raise InputError(
                f"{synthetic.path}: tiles of {theirs} {what}, and {real.path} of {ours}; expected the same, "
                "import both alike"
            )
    return real.scale


def _nuclei(tiles: TileSet, rows: NDArray[np.int64], found_by: str | None, mpp: float) -> pa.Table:
    images = np.asarray(tiles.images[rows])
    if found_by is not None:
        return nuclei_table(images, find_nuclei(get_segmenter(found_by), images, mpp), mpp=mpp)
    if tiles.masks is None or not tiles.has_mask[rows].all():
        without = int((~tiles.has_mask[rows]).sum())
        raise InputError(
            f"{tiles.path}: {without} of {len(rows)} tiles have no mask; name a segmenter to find nuclei "
            "(--found-by NAME) or add masks with `nucleosynth segment`"
        )
    return nuclei_table(images, np.asarray(tiles.masks[rows]), mpp=mpp)


def _reference(
    real: TileSet, nuclei: pa.Table, labels: NDArray[np.int64], benign: str | float | None
) -> BenignReference:
    if isinstance(benign, int | float):
        return given_reference(benign)
    try:
        return benign_reference(nuclei, labels, classes=real.classes, ordinal=real.ordinal, benign=benign)
    except InputError as error:
        if benign is not None:
            raise
        return BenignReference(diameter_um=None, rule=f"none: {error}")  # a size ratio was not requested


def samples(
    nuclei: pa.Table, rows: pa.Table, *, labels: NDArray[np.int64], patients: NDArray[np.str_]
) -> dict[str, Sample]:
    """Return the values of each measure with class and patient: of whole nuclei, and of tiles.

    Parameters
    ----------
    nuclei, rows
        Results of `nuclei_table` and `tile_table`.
    labels, patients : (n,)
        Class and patient of each tile.
    """
    whole = ~nuclei["touches_border"].to_numpy(zero_copy_only=False)
    of_nuclei = nuclei["tile"].to_numpy()[whole]
    found = {}
    for name in MEASURES:
        own = name in NUCLEUS_MEASURES
        values = nuclei[name].to_numpy()[whole] if own else rows[name].to_numpy()
        known = np.isfinite(values)
        tile = (of_nuclei if own else np.arange(len(values)))[known]
        found[name] = Sample(values=values[known], label=labels[tile], patient=patients[tile])
    return found


def _index(tiles: TileSet, name: str) -> int | None:
    return None if name == EVERY else tiles.classes.index(name)


def _summary(rows: pa.Table) -> dict[str, Any]:
    grades = np.bincount(rows["size_grade"].to_numpy(), minlength=4)[1:]
    shares = grades / grades.sum() if grades.sum() else None
    return {
        "tiles": rows.num_rows,
        "nuclei": int(rows["nuclei"].to_numpy().sum()),
        "whole_nuclei": int(rows["whole_nuclei"].to_numpy().sum()),
        "size_grades": None
        if shares is None
        else {str(grade): float(share) for grade, share in zip((1, 2, 3), shares, strict=True)},
    }
