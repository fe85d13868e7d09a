"""Nuclear size requested by the dial against the size found in synthesised tiles.

    python -m benchmarks.dial GENERATOR TILES [--tiles 64] [--judge judge]

GENERATOR was trained with masks on TILES, of which only those of its training patients are
read. Layouts are fitted to these and drawn at several size ratios, tiles are synthesised from them, and the
mask judge finds the nuclei: all of them (*found*), and those where one was requested (*answers*). A tile in
which no whole nucleus was requested is left out. Writes results/dial.json here,
docs/results/tnbc/dial.png and docs/results/tnbc/dial_tiles.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.slide_stain import slide_descriptors
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.generator import Generator
from nucleosynth.errors import InputError
from nucleosynth.evaluate.nuclei.mask_scores import refuse_own_masks
from nucleosynth.files import write_json
from nucleosynth.layouts.atypia import Dial
from nucleosynth.layouts.fit import fit_layouts
from nucleosynth.layouts.model import LayoutModel
from nucleosynth.nuclei.morphology import nuclei_table
from nucleosynth.nuclei.shapes import ratio_where
from nucleosynth.render.figure import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    SKY,
    empty_figure,
    save_figure,
    style,
    subtitle,
)
from nucleosynth.render.tile_rows import tile_rows
from nucleosynth.runs import environment
from nucleosynth.seeds import rng
from nucleosynth.segmentation.segmenter import Segmenter, get_segmenter
from nucleosynth.segmentation.tilesets import find_nuclei

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATIOS = (0.7, 0.85, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)
REPLICATES, SHOWN = 2000, 8
RESULTS = Path(__file__).parent / "results"
PICTURES = Path(__file__).parents[1] / "docs" / "results" / "tnbc"

EVERY = slice(None)

Floats = NDArray[np.float64]
Picked = NDArray[np.int64] | slice
Measured = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Sizes:
    """Diameters of whole nuclei, weighted to correct for cuts by the border, summed by tile.

    Tile i of every ratio has the same stain and noise: the bootstrap draws these together.
    """

    ratios: Floats  # (ratios,) as requested; 1 is among them
    total: Floats  # (ratios, tiles) sum of weight times diameter, µm
    weight: Floats  # (ratios, tiles); 0 where no nucleus is whole

    @classmethod
    def of(cls, ratios: Floats, masks: list[NDArray[Any]], mpp: float) -> Sizes:
        """Measure the masks (n, h, w) of each ratio."""
        sums = []
        for one in masks:
            table = nuclei_table(None, one, mpp=mpp)
            tile, weight = table["tile"].to_numpy(), table["edge_weight"].to_numpy()
            heavy = weight * table["diameter_um"].to_numpy()
            sums.append([np.bincount(tile, weights=w, minlength=len(one)) for w in (heavy, weight)])
        total, weights = np.moveaxis(np.array(sums), 1, 0)
        return cls(ratios, total, weights)

    @classmethod
    def of_answers(
        cls, ratios: Floats, masks: list[NDArray[Any]], found: list[NDArray[Any]], mpp: float
    ) -> Sizes:
        """Measure, for each whole requested nucleus, the found one that shares most of its pixels, if any."""
        sums = []
        for asked, again in zip(masks, found, strict=True):
            table = nuclei_table(None, asked, mpp=mpp)
            heavy = np.zeros((2, len(asked)))
            for tile in range(len(asked)):
                own = table["tile"].to_numpy() == tile
                numbers, weight = table["label"].to_numpy()[own], table["edge_weight"].to_numpy()[own]
                answer = _answers(asked[tile], again[tile])[numbers]
                area = np.bincount(again[tile].ravel())[answer]
                diameter = 2 * np.sqrt(area / np.pi) * mpp
                weight = weight * (answer > 0)
                heavy[:, tile] = (weight * diameter).sum(), weight.sum()
            sums.append(heavy)
        total, weights = np.moveaxis(np.array(sums), 1, 0)
        return cls(ratios, total, weights)

    def where(self, keep: NDArray[np.bool_]) -> Sizes:
        """Leave out tiles, (ratios, tiles) bool."""
        return Sizes(self.ratios, self.total * keep, self.weight * keep)

    @property
    def tiles(self) -> Floats:
        """Mean diameter, (ratios, tiles), in µm, NaN without a whole nucleus."""
        return ratio_where(self.total, self.weight, self.weight > 0)

    def levels(self, picked: Picked = EVERY) -> Floats:
        """Return the mean diameter, (ratios,), in µm over whole nuclei of some tiles, NaN without one."""
        total, weight = self.total[:, picked].sum(axis=1), self.weight[:, picked].sum(axis=1)
        return ratio_where(total, weight, weight > 0)

    def relative(self, picked: Picked = EVERY) -> Floats:
        """Return the same, (ratios,), relative to that at ratio 1."""
        levels = self.levels(picked)
        return np.asarray(levels / levels[self.ratios == 1])


def _answers(asked: NDArray[Any], found: NDArray[Any]) -> NDArray[np.int64]:
    """Return, by number of a requested nucleus, the found one that shares most pixels; 0 = none."""
    pairs = np.zeros((int(asked.max()) + 1, int(found.max()) + 1), np.int64)
    np.add.at(pairs, (asked.ravel().astype(np.int64), found.ravel().astype(np.int64)), 1)
    pairs[:, 0] = 0
    return np.asarray(pairs.argmax(axis=1))


def synthesised(
    generator: Generator, tiles: TileSet, layouts: LayoutModel, *, ratios: Floats, count: int, seed: int
) -> tuple[list[NDArray[np.uint16]], list[NDArray[np.uint8]]]:
    """Draw masks and tiles of each ratio, with lower density so that larger nuclei find room."""
    rows = tiles.rows_of(generator.card.patients)
    picked = rng(seed, "dial-stains").choice(len(rows), count, replace=count > len(rows))
    stains = slide_descriptors(tiles, rows)[picked]
    masks, images = [], []
    for ratio in ratios:
        dial = Dial(size_ratio=ratio, density=min(1.0, ratio**-2))
        masks.append(layouts.draw(count, dial=dial, seed=seed))
        images.append(generator.sample(masks=masks[-1], stain=stains, seed=seed))
        print(f"size ratio {ratio:g}: {count} tiles", flush=True)
    return masks, images


def correlations(drawn: Sizes, found: Sizes, answers: Sizes, *, seed: int) -> Measured:
    """Return Pearson correlations and slopes, each with its 95 % interval over tiles (see `Sizes`)."""

    def measures(picked: Picked) -> dict[str, float]:
        own, again = drawn.tiles[:, picked], found.tiles[:, picked]
        asked = np.broadcast_to(found.ratios[:, None], own.shape)
        return {
            "tiles: found to requested": _pearson(asked, again),
            "tiles: drawn to requested": _pearson(asked, own),
            "tiles: found to drawn": _pearson(own, again),
            "ratios: found to requested": _pearson(found.ratios, found.relative(picked)),
            "ratios: answers to requested": _pearson(found.ratios, answers.relative(picked)),
            "ratios: slope of answers": _slope(found.ratios, answers.relative(picked)),
            "ratios: slope of found": _slope(found.ratios, found.relative(picked)),
            "ratios: slope of drawn": _slope(drawn.ratios, drawn.relative(picked)),
        }

    draws = [measures(picked) for picked in _resampled(found, REPLICATES, seed)]
    return {
        name: {"value": value, "interval": _interval([draw[name] for draw in draws])}
        for name, value in measures(EVERY).items()
    }


def real_tiles(judge: Segmenter, tiles: TileSet, rows: NDArray[np.int64]) -> dict[str, float]:
    """Return the diameter that the mask judge finds in real tiles, and that of their own masks."""
    assert tiles.masks is not None
    assert tiles.mpp is not None
    masks = find_nuclei(judge, np.asarray(tiles.images[rows]), tiles.mpp)
    pair = Sizes.of(np.ones(2), [np.asarray(tiles.masks[rows]), masks], tiles.mpp)
    own, found = (float(level) for level in pair.levels())
    tile_by_tile = _pearson(*pair.tiles)
    return {"tiles": len(rows), "own_um": own, "found_um": found, "tiles: found to own": tile_by_tile}


def plot(drawn: Sizes, found: Sizes, answers: Sizes, measured: Measured, *, judge: str) -> Figure:
    """Plot the size found by the size requested: by tile, by ratio, and of the drawn masks."""
    ratios, level = found.ratios, found.relative()
    count = found.total.shape[1]
    draws = np.array([found.relative(picked) for picked in _resampled(found, REPLICATES, 0)])
    low, high = np.nanpercentile(draws, [2.5, 97.5], axis=0)
    with style():
        figure = empty_figure(6.4, 5.0)
        axes = figure.subplots()
        ends = [0.95 * ratios.min(), 1.05 * ratios.max()]
        axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle=":", label="as asked for")
        shift = rng(0, "dial-jitter").uniform(-0.025, 0.025, found.total.shape)
        single = found.tiles / found.levels()[ratios == 1]
        axes.scatter(
            ratios[:, None] + shift, single, s=9, color=SKY, alpha=0.45, linewidths=0, label="one tile"
        )
        dashed: dict[str, Any] = {"linewidth": 1.2, "linestyle": (0, (5, 2)), "marker": "D", "markersize": 5}
        axes.plot(ratios, drawn.relative(), color=ORANGE, label="drawn masks", **dashed)
        axes.plot(
            ratios, answers.relative(), color=GREEN, label="found where a nucleus was asked for", **dashed
        )
        bars = [np.maximum(level - low, 0), np.maximum(high - level, 0)]
        axes.errorbar(
            ratios, level, yerr=bars, color=BLUE, marker="o", capsize=3, label="all found in tiles, 95 %"
        )
        axes.set_xlabel("mean nuclear diameter asked for, relative to ratio 1")
        axes.set_ylabel("mean nuclear diameter measured, relative to ratio 1")
        axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios], color=INK)
        axes.set_title("Nuclear size: asked for and found again")
        by_tile, by_ratio = (measured[f"{over}: found to requested"]["value"] for over in ("tiles", "ratios"))
        over = f"r = {by_tile:.2f} over tiles, {by_ratio:.2f} over ratios"
        subtitle(axes, f"{count} tiles per ratio, found by `{judge}`; {over}")
        axes.legend(fontsize=8, loc="upper left")
    return figure


def level_record(drawn: Sizes, found: Sizes, answers: Sizes, index: int) -> dict[str, Any]:
    """Return all values measured at one ratio, also the raw ones."""
    return {
        "ratio": float(found.ratios[index]),
        "drawn_ratio": float(drawn.relative()[index]),
        "found_ratio": float(found.relative()[index]),
        "answers_ratio": float(answers.relative()[index]),
        "answered": float(answers.weight[index].sum() / drawn.weight[index].sum()),
        "drawn_um": float(drawn.levels()[index]),
        "found_um": float(found.levels()[index]),
        "tiles_left_out": int((drawn.weight[index] == 0).sum()),
        "tiles_where_none_was_found": int(((drawn.weight[index] > 0) & (found.weight[index] == 0)).sum()),
        "drawn_tiles_um": _listed(drawn.tiles[index]),
        "found_tiles_um": _listed(found.tiles[index]),
    }


def _resampled(sizes: Sizes, draws: int, seed: int) -> Iterator[NDArray[np.int64]]:
    count = int(sizes.total.shape[1])
    return (rng(seed, "dial-bootstrap", draw).integers(count, size=count) for draw in range(draws))


def _pearson(one: Floats, other: Floats) -> float:
    known = ~(np.isnan(one) | np.isnan(other))
    x, y = one[known], other[known]
    if len(x) < 3 or not x.std() or not y.std():
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _slope(asked: Floats, got: Floats) -> float:
    return float(np.cov(asked, got)[0, 1] / np.var(asked, ddof=1))


def _interval(values: list[float]) -> list[float]:
    return [float(v) for v in np.nanpercentile(values, [2.5, 97.5])]


def _listed(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 3) for value in values]


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dial")
    parser.add_argument("generator", type=Path)
    parser.add_argument("source", type=Path, metavar="tiles")
    parser.add_argument("--tiles", type=int, default=64, help="tiles per ratio")
    parser.add_argument("--ratios", type=float, nargs="+", default=RATIOS, help="1 must be among them")
    parser.add_argument("--judge", default="judge", help="mask judge: segmenter that finds the nuclei")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--pictures", type=Path, default=PICTURES)
    given = parser.parse_args()
    if 1 not in given.ratios or len(set(given.ratios)) < 3 or given.tiles < 2:
        parser.error("give three or more ratios, 1 among them, and two or more tiles")
    return given


def settings(
    given: argparse.Namespace, generator: Generator, tiles: TileSet, layouts: LayoutModel, judge: Segmenter
) -> dict[str, Any]:
    """Return the settings behind the result."""
    card = generator.card
    return {
        "generator": generator.generator_id,
        "tileset": tiles.content_hash,
        "patients": card.patients,
        "layouts": layouts.layouts_id,
        "judge": {"name": judge.name, "weights_hash": judge.weights_hash},
        "size": card.size,
        "mpp": card.mpp,
        "sampling": card.recipe.defaults(),
        "tiles_per_ratio": given.tiles,
        "density": "1 / ratio², at most 1",
        "interval": f"95 %, {REPLICATES} bootstrap draws of tiles, those of all ratios together",
        "seed": given.seed,
    }


def main() -> None:
    """Draw layouts, synthesise tiles, find their nuclei, and write the result."""
    given = read_arguments()
    seed, ratios = given.seed, np.array(sorted(set(given.ratios)))
    generator, tiles = Generator.from_pretrained(given.generator), TileSet.open(given.source)
    judge, card = get_segmenter(given.judge), generator.card
    if card.mpp is None or tiles.mpp is None or tiles.masks is None:
        raise InputError(f"{given.source}: no masks or no scale; the dial needs nuclei of known size")
    refuse_own_masks(judge, tiles)
    layouts = fit_layouts(tiles, card.patients, seed=seed)
    masks, images = synthesised(generator, tiles, layouts, ratios=ratios, count=given.tiles, seed=seed)
    drawn = Sizes.of(ratios, masks, card.mpp)
    asked = drawn.weight > 0
    again = [find_nuclei(judge, made, card.mpp) for made in images]
    found = Sizes.of(ratios, again, card.mpp).where(asked)
    answers = Sizes.of_answers(ratios, masks, again, card.mpp)
    measured = correlations(drawn, found, answers, seed=seed)
    rows = tiles.rows_of(card.patients)
    rows = np.sort(rng(seed, "dial-real").permutation(rows[tiles.has_mask[rows]])[: 4 * given.tiles])
    result = {
        "settings": settings(given, generator, tiles, layouts, judge),
        "correlations": measured,
        "ratios": [level_record(drawn, found, answers, index) for index in range(len(ratios))],
        "real_tiles": real_tiles(judge, tiles, rows),
        "environment": environment(),
    }
    write_json(given.results / "dial.json", result)
    save_figure(plot(drawn, found, answers, measured, judge=judge.name), given.pictures / "dial.png")
    picked = np.argsort(~asked.all(axis=0), kind="stable")[
        :SHOWN
    ]  # those with a whole nucleus at every ratio first
    shown = {f"size × {ratio:g}": made[picked] for ratio, made in zip(ratios, images, strict=True)}
    note = "Synthetic tiles from invented layouts; within a column the same stain and the same noise."
    save_figure(tile_rows(shown, title="The size dial", note=note), given.pictures / "dial_tiles.png")
    for name, value in measured.items():
        print(f"{name}: {value['value']:.3f} [{value['interval'][0]:.3f}, {value['interval'][1]:.3f}]")


if __name__ == "__main__":
    main()
