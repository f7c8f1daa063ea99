"""Encodes the records of a recipe into the parts of a folder that `Tokens` reads; each part is written whole.

Knows records, codecs and Arrow; which parts are made, and by how many processes, is left to the command `encode`.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from datamodules.documents import SPLITS
from datamodules.records import Records
from datamodules.seen_as import shown
from datamodules.sources import Tokens
from datamodules.sources.base import Encoded
from datamodules.sources.tokens import ENCODING, FINGERPRINTS, FORMAT, Part, check_recipe, part_path, parts_of
from mot_lightning.codecs import Codec
from mot_lightning.errors import NotWritten, require
from mot_lightning.runs.atomic import replacing, write_json

MOST_PARTS, LEAST_RECORDS = 512, 64  # of a folder, and of a part
BATCH = 256  # records that are in memory at a time


def check_encodable(data: Any) -> None:
    """Raises ValueError if the media of a record are not the same each time they are read."""
    if not isinstance(data, Records):
        raise ValueError(f"data is {type(data).__name__}, wanted Records: other data are encoded while they train")
    if isinstance(data.source, Tokens):
        raise ValueError("data.source is Tokens, wanted one that is not encoded yet")
    if data.source.streamed:
        raise ValueError("data.source streams, wanted one that is stored, as its records are encoded in parts")
    if data.seen_as:
        raise ValueError(f"data.seen_as is {shown(data.seen_as)}, wanted none: each column is encoded by one codec")
    for name, column in data.columns.items():
        if column.transforms:
            raise ValueError(f"data.media.{name} has transforms, which differ each time, wanted none to encode")


def write_encoding(folder: Path, data: Records, codecs: Mapping[str, Codec]) -> dict[str, Any]:
    """Write what `Tokens` needs to know of a recipe and its fitted codecs.

    Raises:
        NotWritten: the system refused a write.
    """
    records = len(data.source)
    encoding = {
        "format": FORMAT,
        "records": records,
        "records_per_part": max(LEAST_RECORDS, -(-records // MOST_PARTS)),
        "latent_dims": {name: codec.latent_dim for name, codec in codecs.items()},
        "codecs": {name: codec.fingerprint(codec.state_dict()) for name, codec in codecs.items()},
        "recipe": data.recipe,
    }
    for name, codec in codecs.items():
        with replacing(folder / f"{name}.codec.pt") as file:
            torch.save(codec.state_dict(), file)
    write_json(folder / ENCODING, encoding)  # last: it says that the codecs are there
    return encoding


def check_same(folder: Path, encoding: Mapping[str, Any], data: Records) -> None:
    """Raises ValueError if a folder was begun with another recipe or other records."""
    check_recipe(folder, encoding, data.recipe)
    records = len(data.source)
    require(
        "data.source's number of records", records, f"{folder}'s {encoding['records']}", records == encoding["records"]
    )


class Parts(Dataset[int | Exception]):
    """The parts of a folder: each is encoded and written when it is indexed, which returns its number of records.

    An error is returned, not raised: a data loader would add a traceback.
    """

    def __init__(self, folder: Path, encoding: Mapping[str, Any], data: Records, codecs: Mapping[str, Codec]) -> None:
        self.folder, self.encoding, self.data, self.codecs = folder, encoding, data, codecs
        self.parts = parts_of(encoding)
        self.splits, self.positions = np.zeros((2, len(data.source)), int)  # of each record; an index of `SPLITS`
        for split, indices in data.indices.items():
            self.splits[indices] = SPLITS.index(split)
            self.positions[indices] = np.arange(len(indices))

    def __len__(self) -> int:
        return len(self.parts)

    def written(self, number: int) -> bool:
        return part_path(self.folder, self.parts[number]).is_file()

    def size(self, number: int) -> int:
        start, stop = self.parts[number]
        return stop - start

    def __getitem__(self, number: int) -> int | Exception:
        try:
            self._write(self.parts[number])
        except (ValueError, NotWritten) as error:
            return error
        return self.size(number)

    def _write(self, part: Part) -> None:
        import pyarrow as pa

        fingerprints = {name: one["weights"] for name, one in self.encoding["codecs"].items()}
        with replacing(part_path(self.folder, part)) as file:
            batches = self._batches(part)
            first = next(batches)
            metadata = {FINGERPRINTS: json.dumps(fingerprints)}
            schema = first.schema.with_metadata(metadata)
            with pa.ipc.new_stream(pa.PythonFile(file, mode="w"), schema) as stream:
                for batch in (first, *batches):
                    stream.write_batch(batch.replace_schema_metadata(metadata))

    def _batches(self, part: Part) -> Iterator[Any]:
        import pyarrow as pa

        for start in range(part[0], part[1], BATCH):
            indices = range(start, min(start + BATCH, part[1]))
            media: dict[str, list[list[Encoded]]] = {name: [] for name in self.codecs}
            for index in indices:
                record = self.data.source.record(index)
                for name, codec in self.codecs.items():
                    column = self.data.columns[name]
                    values = column.values(record)
                    weighted = zip(values, column.weights(record, len(values)), strict=True)
                    media[name].append([encoded(codec, column.decode(value), weight) for value, weight in weighted])
            columns = {
                "split": pa.array([SPLITS[number] for number in self.splits[list(indices)]]),
                "position": pa.array(self.positions[list(indices)]),
            }
            columns |= {name: _array(cells, self.codecs[name].latent_dim) for name, cells in media.items()}
            yield pa.RecordBatch.from_pydict(columns)


def encoded(codec: Codec, media: Any, weight: float) -> Encoded:
    with torch.no_grad():
        return Encoded(codec.encode(media).numpy(), codec.media_bytes(media), weight)


def _array(cells: list[list[Encoded]], latent_dim: int | None) -> Any:
    """The media of each record, as an array of lists of structs of `tokens`, `bytes` and `weight`."""
    import pyarrow as pa

    media = [one for cell in cells for one in cell]
    kind = np.int32 if latent_dim is None else np.float32
    flat = np.concatenate([np.empty(0, kind), *(one.array.ravel().astype(kind) for one in media)])
    tokens = pa.ListArray.from_arrays(_offsets([one.array.size for one in media]), pa.array(flat))
    sizes = pa.array([one.media_bytes for one in media], pa.int64())
    weights = pa.array([one.weight for one in media], pa.float64())
    structs = pa.StructArray.from_arrays([tokens, sizes, weights], ["tokens", "bytes", "weight"])
    return pa.ListArray.from_arrays(_offsets([len(cell) for cell in cells]), structs)


def _offsets(lengths: list[int]) -> Any:
    import pyarrow as pa

    return pa.array([0, *accumulate(lengths)], pa.int32())
