"""Records that codecs have encoded already: what the command `encode` writes, and how it is read.

A folder of tokens has Arrow files of contiguous records, which `datasets` opens too, the learned state of each codec,
and `encoding.json`: which recipe and codecs made the tokens. It is complete once there is a file for every part.
"""

import json
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from datamodules.sources.base import Record, Source
from datamodules.sources.encoded_column import EncodedColumn
from mot_lightning.codecs import Codec

ENCODING, FINGERPRINTS, FORMAT = "encoding.json", b"codecs", 1
PLACE = ("split", "position")  # columns: the split of a record, and where it is in the split's order
Part = tuple[int, int]  # first record, and the one after the last


class Tokens(Source):
    """What `python -m mot_lightning encode` wrote: the media of each modality as tokens; columns `split`, `position`.

    Codecs neither run nor are fitted: what they learned comes with the tokens, and another codec is refused.

    Args:
        path: the folder.
    """

    encoded = True

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.encoding: dict[str, Any] = {}
        self.batches: list[Any] = []  # of Arrow; each but the last of a part has equally many records
        self.first: list[int] = []  # record of each batch
        self._columns: dict[int, dict[str, EncodedColumn]] = {}  # of batches that were read

    def setup(self) -> None:
        if self.batches:
            return
        encoding = read_encoding(self.path)
        first, batches = [], []
        for start, stop in parts_of(encoding):
            number = start
            for batch in _read_part(self.path, (start, stop), encoding):
                first.append(number)
                batches.append(batch)
                number += len(batch)
        self.encoding, self.batches, self.first = encoding, batches, first

    def __len__(self) -> int:
        return int(self.encoding["records"])

    def record(self, index: int) -> Record:
        number = bisect_right(self.first, index) - 1
        batch, row = self.batches[number], index - self.first[number]
        if (columns := self._columns.get(number)) is None:
            widths = self.encoding["latent_dims"]
            columns = {name: EncodedColumn(batch.column(name), width) for name, width in widths.items()}
            self._columns[number] = columns
        media = {name: column[row] for name, column in columns.items()}
        return {**{name: batch.column(name)[row].as_py() for name in PLACE}, **media}

    def values(self, column: str) -> Iterable[Any]:
        if column not in PLACE:
            yield from super().values(column)
        else:
            for batch in self.batches:
                yield from batch.column(column).to_pylist()

    def placed(self, recipe: Mapping[str, Any]) -> tuple[Iterable[Any], Iterable[int]]:
        check_recipe(self.path, self.encoding, recipe)
        return self.values("split"), self.values("position")

    def load_codecs(self, codecs: Mapping[str, Codec], fitted: Collection[str]) -> set[str]:
        self.setup()
        load_codecs(self.path, self.encoding, codecs, fitted)
        return {*codecs}


def read_encoding(folder: Path) -> dict[str, Any]:
    """What `encode` says of a folder. Raises ValueError if it has not written there."""
    try:
        encoding = json.loads((folder / ENCODING).read_text(encoding="utf-8"))
        if encoding["format"] != FORMAT:
            raise ValueError(f"{folder} has tokens of format {encoding['format']}, wanted {FORMAT}: encode anew")
    except (OSError, json.JSONDecodeError, KeyError, TypeError):
        raise ValueError(f"{folder} has no {ENCODING}, wanted a folder that the command encode wrote") from None
    return encoding


def parts_of(encoding: Mapping[str, Any]) -> list[Part]:
    records, size = encoding["records"], encoding["records_per_part"]
    return [(start, min(start + size, records)) for start in range(0, records, size)]


def part_path(folder: Path, part: Part) -> Path:
    return folder / f"records-{part[0]:010}-{part[1]:010}.arrow"


def _read_part(folder: Path, part: Part, encoding: Mapping[str, Any]) -> list[Any]:
    import pyarrow as pa

    path = part_path(folder, part)
    try:
        stream = pa.ipc.open_stream(pa.memory_map(str(path)))
        made_by = json.loads((stream.schema.metadata or {}).get(FINGERPRINTS, b"{}"))
        batches = list(stream)
    except FileNotFoundError:
        raise ValueError(
            f"{folder} has no {path.name}, wanted all records: the same encode again, or its other shards, goes on"
        ) from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if sum(map(len, batches)) != part[1] - part[0]:
        raise ValueError(f"{path} has {sum(map(len, batches))} records, wanted {part[1] - part[0]}")
    for name, fingerprint in encoding["codecs"].items():
        if made_by.get(name) != fingerprint["weights"]:
            raise ValueError(f"{path} has {name!r} by a codec that learned otherwise than the one in {folder}")
    return batches


def check_recipe(folder: Path, encoding: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
    """Raises ValueError if a recipe is not that of a folder of tokens."""
    for name, value in _flat(recipe).items():
        encoded = _flat(encoding["recipe"]).get(name)
        if value != encoded:
            value, encoded = ("null" if one is None else one for one in (value, encoded))
            raise ValueError(f"data.{name} is {value}, wanted {encoded}, with which {folder} was encoded")


def load_codecs(
    folder: Path, encoding: Mapping[str, Any], codecs: Mapping[str, Codec], fitted: Collection[str]
) -> None:
    """As `Tokens.load_codecs`."""
    for name, codec in codecs.items():
        if (saved := encoding["codecs"].get(name)) is None:
            raise ValueError(f"{folder} has tokens of {', '.join(encoding['codecs'])}, wanted {name!r} too")
        learned = codec.state_dict()
        if name not in fitted:
            learned = torch.load(folder / f"{name}.codec.pt", weights_only=True)
        actual = codec.fingerprint(learned)
        if actual != saved:
            raise ValueError(
                f"{folder} has {name!r} by {_shown(saved)}, but the model's codec is {_shown(actual)}"
                + (", which learned otherwise" if _shown(saved) == _shown(actual) else "")
            )
        codec.load_state_dict(learned)


def _shown(fingerprint: Mapping[str, Any]) -> str:
    arguments = ", ".join(f"{name}={value}" for name, value in fingerprint["arguments"].items())
    return f"{fingerprint['class'].rpartition('.')[2]}({arguments})"


def _flat(content: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """Nested mappings as one, by dotted names, without `init_args`."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        path = name if key == "init_args" else f"{name}.{key}".strip(".")
        flat |= _flat(value, path) if isinstance(value, Mapping) else {path: value}
    return flat
