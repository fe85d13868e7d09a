"""Parquet shards of a TileSet: schema, streaming writer, reading and verification."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nucleosynth.errors import InputError

if TYPE_CHECKING:
    from nucleosynth.data.tile import Tile

ROWS_PER_GROUP = 256
ROWS_PER_SHARD = 8192

_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_RATINGS = pa.list_(pa.struct([("rater", pa.string()), ("criterion", pa.string()), ("value", pa.float64())]))
TILE_COLUMNS: dict[str, pa.DataType] = {
    "tile_id": pa.string(),
    "patient_id": pa.string(),
    "slide_id": pa.string(),
    "frame_id": pa.string(),
    "label": pa.int64(),
    "ratings": _RATINGS,
    "scanner": pa.string(),
    "x": pa.float64(),
    "y": pa.float64(),
    "source_mpp": pa.float64(),
    "mpp": pa.float64(),
    "patient_known": pa.bool_(),
    "synthetic": pa.bool_(),
    "generator_id": pa.string(),
    "sample_index": pa.int64(),
    "seed": pa.int64(),
    "sampler": pa.string(),
    "steps": pa.int64(),
    "guidance": pa.string(),
    "donor_tile_id": pa.string(),
    "donor_patient_id": pa.string(),
}
_DERIVED: dict[str, pa.DataType] = {"has_mask": pa.bool_(), "sha256": pa.string(), "mask_sha256": pa.string()}
PIXELS = ("image", "mask")
ALL_COLUMNS = (*PIXELS, *TILE_COLUMNS, *_DERIVED)


def pixel_hash(pixels: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of decoded pixels in little-endian, row-major order."""
    little = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False))
    return hashlib.sha256(little.tobytes()).hexdigest()


def encode(pixels: npt.NDArray[Any]) -> bytes:
    """Encode uint8 RGB or uint16 labels as PNG, lossless."""
    import imagecodecs

    return bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=1))


def decode(data: bytes) -> npt.NDArray[Any]:
    """Decode a PNG of a shard."""
    import imagecodecs

    return np.asarray(imagecodecs.png_decode(data))


class ShardWriter:
    """A writer of tiles into ``tiles-00000.parquet``, ..., with a summary of what was written."""

    def __init__(self, directory: Path, *, classes: Sequence[str], extra: pa.Schema | None = None) -> None:
        self._directory = directory
        self._extra = extra
        self._classes = list(classes)
        self._rows: list[dict[str, Any]] = []
        self._writer: pq.ParquetWriter | None = None
        self._schema: pa.Schema | None = None
        self._count = 0
        self._size: tuple[int, int] | None = None
        self._mpps: set[float | None] = set()
        self._ids: set[str] = set()
        self._hash = hashlib.sha256(json.dumps(self._classes).encode())
        self._masked = False
        self._per_class = [0] * len(self._classes)

    def add(self, tile: Tile) -> None:
        """Check one tile and queue it."""
        self._check(tile)
        record = self._record(tile)
        identity = [tile.tile_id, tile.patient_id, tile.label, record["sha256"], record["mask_sha256"]]
        self._hash.update(json.dumps(identity).encode())
        self._masked |= tile.mask is not None
        self._mpps.add(tile.mpp)
        if tile.label is not None:
            self._per_class[tile.label] += 1
        self._rows.append(record)
        self._count += 1
        if len(self._rows) == ROWS_PER_GROUP:
            self._flush()

    def close(self) -> dict[str, Any]:
        """Write what is queued and return counts, size, µm/px and the content hash."""
        if not self._count or self._size is None:
            raise InputError(f"{self._directory}: no tile to write; check the input and the tissue filter")
        self._flush()
        if self._writer is not None:
            self._writer.close()
        return {
            "count": self._count,
            "labelled": dict(zip(self._classes, self._per_class, strict=True)),
            "size": list(self._size),
            "mpp": self._mpps.pop() if len(self._mpps) == 1 else None,
            "masks": self._masked,
            "content_hash": self._hash.hexdigest(),
        }

    def _check(self, tile: Tile) -> None:
        name = tile.tile_id
        if tile.image.dtype != np.uint8 or tile.image.ndim != 3 or tile.image.shape[2] != 3:
            raise InputError(
                f"tile {name}: expected RGB uint8 (h, w, 3), got {tile.image.dtype} {tile.image.shape}"
            )
        height, width = tile.image.shape[:2]
        self._size = self._size or (height, width)
        if (height, width) != self._size:
            raise InputError(
                f"tile {name}: is {width}x{height} px where the others are {self._size[1]}x{self._size[0]}; "
                "one size per TileSet"
            )
        if tile.mask is not None and (tile.mask.shape != self._size or tile.mask.dtype != np.uint16):
            raise InputError(
                f"tile {name}: mask must be uint16 {self._size}, got {tile.mask.dtype} {tile.mask.shape}"
            )
        if name in self._ids:
            raise InputError(f"tile {name}: the id occurs twice; ids must be unique")
        if tile.label is not None and not 0 <= tile.label < len(self._classes):
            raise InputError(
                f"tile {name}: label {tile.label} is outside the {len(self._classes)} classes {self._classes}"
            )
        self._ids.add(name)

    def _record(self, tile: Tile) -> dict[str, Any]:
        record: dict[str, Any] = {name: getattr(tile, name) for name in TILE_COLUMNS if name != "ratings"}
        record["ratings"] = [
            {"rater": r.rater, "criterion": r.criterion, "value": r.value} for r in tile.ratings
        ]
        record["image"] = {"bytes": encode(tile.image), "path": None}
        record["mask"] = None if tile.mask is None else {"bytes": encode(tile.mask), "path": None}
        record["has_mask"] = tile.mask is not None
        record["sha256"] = pixel_hash(tile.image)
        record["mask_sha256"] = None if tile.mask is None else pixel_hash(tile.mask)
        return {**tile.extra, **record}

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._schema is None:
            self._schema = _schema(_extra(self._rows) if self._extra is None else self._extra)
        if self._writer is not None and (self._count - len(self._rows)) % ROWS_PER_SHARD == 0:
            self._writer.close()
            self._writer = None
        if self._writer is None:
            number = (self._count - len(self._rows)) // ROWS_PER_SHARD
            path = self._directory / f"tiles-{number:05d}.parquet"
            self._writer = pq.ParquetWriter(path, self._schema, compression="zstd", store_schema=True)
        try:
            table = pa.Table.from_pylist(self._rows, schema=self._schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InputError(
                f"tile {self._rows[0]['tile_id']} and following: a column changes its type ({error})"
            ) from None
        self._writer.write_table(table)
        self._rows = []


def read_table(path: Path) -> pa.Table:
    """Read all columns but the pixels; refuse a damaged shard by name."""
    tables = []
    for shard in shard_paths(path):
        try:
            file = pq.ParquetFile(shard)
            columns = [name for name in file.schema_arrow.names if name not in PIXELS]
            tables.append(file.read(columns=columns))
        except (pa.ArrowException, OSError) as error:
            raise damaged(shard, error) from None
    return pa.concat_tables(tables, promote_options="default").replace_schema_metadata(None)


def read_pixels(path: Path) -> Iterator[tuple[str, npt.NDArray[np.uint8], npt.NDArray[np.uint16] | None]]:
    """Yield ``(tile_id, image, mask or None)`` in row order, decoding as it goes."""
    for shard in shard_paths(path):
        try:
            batches = pq.ParquetFile(shard).iter_batches(
                batch_size=ROWS_PER_GROUP, columns=["tile_id", *PIXELS]
            )
            for batch in batches:
                for row in batch.to_pylist():
                    yield row["tile_id"], decode(row["image"]["bytes"]), _mask(row["mask"])
        except (pa.ArrowException, OSError) as error:
            raise damaged(shard, error) from None
        except (RuntimeError, ValueError, TypeError) as error:
            raise damaged(shard, error) from None


def verify(path: Path, info: Mapping[str, Any]) -> None:
    """Compare every row's pixels with its hashes and the whole with the content hash."""
    table = read_table(path)
    names = ("tile_id", "patient_id", "label", "sha256", "mask_sha256")
    rows = zip(*(table.column(name).to_pylist() for name in names), strict=True)
    digest = hashlib.sha256(json.dumps(list(info["classes"])).encode())
    count = 0
    for (tile_id, patient, label, sha, mask_sha), (_, image, mask) in zip(
        rows, read_pixels(path), strict=True
    ):
        if pixel_hash(image) != sha or (None if mask is None else pixel_hash(mask)) != mask_sha:
            raise InputError(
                f"{path}: tile {tile_id} differs from its hash; restore the shard or import again"
            )
        digest.update(json.dumps([tile_id, patient, label, sha, mask_sha]).encode())
        count += 1
    if count != info["count"] or digest.hexdigest() != info["content_hash"]:
        raise InputError(
            f"{path}: {count} rows do not match tileset.json; a shard is missing or changed, import again"
        )


def shard_paths(path: Path) -> list[Path]:
    """Return the shards in order."""
    found = sorted(path.glob("tiles-*.parquet"))
    if not found:
        raise InputError(f"{path}: no tiles-*.parquet; restore the shards or import again")
    return found


def damaged(shard: Path, error: Exception) -> InputError:
    """Return the error that names a shard which cannot be read."""
    return InputError(
        f"{shard}: damaged Parquet shard ({str(error).splitlines()[0]:.80}); restore it or import again"
    )


def _mask(value: Mapping[str, Any] | None) -> npt.NDArray[np.uint16] | None:
    return None if value is None else decode(value["bytes"]).astype(np.uint16, copy=False)


def _extra(rows: Sequence[Mapping[str, Any]]) -> pa.Schema:
    """Infer the extra columns of the first rows."""
    names = [name for name in rows[0] if name not in ALL_COLUMNS]
    if not names:
        return pa.schema([])
    return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows]).schema


def _schema(extra: pa.Schema) -> pa.Schema:
    fields = [pa.field("image", _PICTURE), pa.field("mask", _PICTURE)]
    fields += [pa.field(name, kind) for name, kind in {**TILE_COLUMNS, **_DERIVED}.items()]
    fields += [pa.field(f.name, pa.string() if pa.types.is_null(f.type) else f.type) for f in extra]
    features = {f.name: _feature(f.type, f.name) for f in fields}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _feature(kind: pa.DataType, name: str = "") -> Any:
    """Describe an Arrow type as a Hugging Face ``datasets`` feature."""
    if name in PIXELS:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return [_feature(kind.value_type)]
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    return {"dtype": {"double": "float64", "float": "float32"}.get(str(kind), str(kind)), "_type": "Value"}
