"""Some tiles of a TileSet: what ``tiles[...]`` returns."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from nucleosynth.arguments import shown
from nucleosynth.data import pixel_cache as cache
from nucleosynth.data.tile import Tile
from nucleosynth.errors import InputError, OutOfRangeError
from nucleosynth.render.notebook import tiles_html
from nucleosynth.render.wording import scale_text

if TYPE_CHECKING:
    import pandas as pd

    from nucleosynth.data.tileset import TileSet

THUMBNAILS = 12


class TileSelection:
    """A read-only view of some tiles of a TileSet; made by ``tiles[...]``.

    ``tiles[:100]``, ``tiles[[3, 1, 4]]`` and ``tiles[tiles.labels == 2]`` return one; a selection is indexed
    in the same way. Pixels stay where they are until they are asked for.

    Attributes
    ----------
    tiles : TileSet
    rows : (n,) int64
        Which of its tiles, in the order asked for.
    """

    def __init__(self, tiles: TileSet, rows: npt.NDArray[np.int64]) -> None:
        self.tiles = tiles
        self.rows = rows
        self.rows.flags.writeable = False

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Tile]:
        return self.tiles.tiles(self.rows.tolist())

    @overload
    def __getitem__(self, key: int) -> Tile: ...
    @overload
    def __getitem__(self, key: slice | npt.ArrayLike) -> TileSelection: ...
    def __getitem__(self, key: Any) -> Tile | TileSelection:
        chosen = _places(key, len(self), str(self.tiles.path))
        if isinstance(chosen, int):
            return next(self.tiles.tiles([int(self.rows[chosen])]))
        return TileSelection(self.tiles, self.rows[chosen])

    def pick(self, key: Any) -> TileSelection:
        """Return a view of some tiles; one tile is a view of one."""
        chosen = _places(list(key) if isinstance(key, Iterator) else key, len(self), str(self.tiles.path))
        return TileSelection(self.tiles, np.atleast_1d(self.rows[chosen]))

    def __repr__(self) -> str:
        return f"TileSelection({len(self)} of {self.tiles!r})"

    @property
    def classes(self) -> list[str]:
        """Names that ``labels`` index."""
        return self.tiles.classes

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of a tile, px."""
        return self.tiles.size

    @property
    def mpp(self) -> float | None:
        """µm/px; None where unknown."""
        return self.tiles.mpp

    @cached_property
    def images(self) -> npt.NDArray[np.uint8]:
        """(n, h, w, 3) uint8."""
        return _read_only(np.asarray(self.tiles.images[self.rows]))

    @cached_property
    def masks(self) -> npt.NDArray[np.uint16] | None:
        """(n, h, w) uint16, or None where no tile of the TileSet has a mask."""
        return None if self.tiles.masks is None else _read_only(np.asarray(self.tiles.masks[self.rows]))

    @property
    def has_mask(self) -> npt.NDArray[np.bool_]:
        """(n,) bool: which tiles carry a mask."""
        return self.tiles.has_mask[self.rows]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(n,) int64 indices into ``classes``; -1 = unlabelled."""
        return self.tiles.labels[self.rows]

    @property
    def class_names(self) -> npt.NDArray[np.str_]:
        """(n,) name of the class of each tile, empty where unlabelled."""
        return np.array([*self.classes, ""], dtype=np.str_)[self.labels]

    @property
    def patients(self) -> npt.NDArray[np.str_]:
        """(n,) patient ids, empty where unknown; of a synthetic tile its donor's."""
        return self.tiles.patients[self.rows]

    def to_pandas(self) -> pd.DataFrame:
        """Return all columns but the pixels as a table, one row per tile.

        ``class_name`` stands next to ``label`` where the tiles have classes. The index is the row in the
        TileSet. Whole numbers and booleans, which may be missing, have pandas' own types.
        """
        import pandas as pd
        import pyarrow as pa

        kinds = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
        table = self.tiles.table.take(self.rows).to_pandas(types_mapper=kinds.get)
        table.index = pd.Index(self.rows, name="row")
        if self.classes and "class_name" not in table.columns:
            table.insert(table.columns.get_loc("label") + 1, "class_name", self.class_names)
        return table

    def _repr_html_(self) -> str:
        """Show counts and some tiles in a notebook."""
        return self._html(f"TileSelection: {len(self):,} of {len(self.tiles):,} tiles of {self.tiles.path}")

    def _html(self, title: str) -> str:
        images, masks = self._thumbnails()
        names = self.class_names
        counts = [
            (name or "no class", int((names == name).sum()), _known(self.patients[names == name]))
            for name in [*self.classes, *([""] if (names == "").any() else [])]
        ]
        facts = [
            f"{len(self):,} tiles of {self.size[1]}×{self.size[0]} px",
            scale_text(self.mpp),
            f"{_known(self.patients):,} patients",
            f"{int(self.has_mask.sum()):,} with nuclei masks",
        ]
        return tiles_html(title, facts, counts, images, masks)

    def _thumbnails(self) -> tuple[npt.NDArray[np.uint8] | None, npt.NDArray[np.uint16] | None]:
        """Pick tiles evenly, in the order of their classes."""
        if not len(self):
            return None, None
        order = np.argsort(self.labels, kind="stable")
        picked = order[np.linspace(0, len(order) - 1, min(len(order), THUMBNAILS)).astype(np.int64)]
        rows, places = np.unique(self.rows[picked], return_inverse=True)
        images, masks = cache.some_pixels(self.tiles.path, self.tiles.content_hash, rows)
        return images[places], None if masks is None else masks[places]


def _places(key: Any, count: int, name: str) -> int | npt.NDArray[np.int64]:
    """Return the place of one tile, or the places of some, that a key in square brackets asks for.

    Raises
    ------
    InputError
        A key of another kind; past the end it is an IndexError as well.
    """
    if isinstance(key, slice):
        try:
            return np.arange(count, dtype=np.int64)[key]
        except (TypeError, ValueError):
            raise InputError(f"{name}: a slice of tiles needs whole numbers, such as tiles[10:20]") from None
    kinds = "expected a whole number, a slice, or a list or array of whole numbers or of booleans"
    if isinstance(key, str | bytes | dict | tuple) or key is None or isinstance(key, bool):
        raise InputError(f"{name}: tiles[...] was given {shown(key)}; {kinds}")
    try:
        asked = np.asarray(key)
        single = operator.index(key) if asked.ndim == 0 else None
    except (TypeError, ValueError):
        raise InputError(f"{name}: tiles[...] was given {shown(key)}; {kinds}") from None
    if single is not None:
        return _in_range(np.array([single], dtype=object), count, name).tolist()[0]  # type: ignore[no-any-return]
    if asked.size == 0 and asked.ndim == 1 and not isinstance(key, np.ndarray):
        return np.zeros(0, np.int64)
    if asked.ndim != 1 or asked.dtype.kind not in "biu":
        raise InputError(f"{name}: tiles[...] was given {asked.dtype} values of shape {asked.shape}; {kinds}")
    if asked.dtype.kind != "b":
        return _in_range(asked, count, name)
    if len(asked) != count:
        raise OutOfRangeError(
            f"{name}: tiles[...] was given {len(asked)} booleans for {count} tiles; give one each"
        )
    return np.flatnonzero(asked).astype(np.int64)


def _in_range(asked: npt.NDArray[Any], count: int, name: str) -> npt.NDArray[np.int64]:
    wrong = [int(place) for place in asked.tolist() if not -count <= place < count]
    if wrong:
        raise OutOfRangeError(f"{name}: there is no tile {wrong[0]}; it has {count} tiles, counted from 0")
    places = asked.astype(np.int64)
    return np.where(places < 0, places + count, places)


def _known(patients: npt.NDArray[np.str_]) -> int:
    return len(set(patients.tolist()) - {""})


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array
