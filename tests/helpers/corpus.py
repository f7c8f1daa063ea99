"""A small corpus of pictures, sounds and captions, in every form that a source reads."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import PIL.Image
import pyarrow as pa
import soundfile

SHAPE = (1, 4, 4)


def write_corpus(folder: Path, count: int = 24) -> Path:
    """Pictures with a bright left half, three weighted captions and a tone each; `table.jsonl` names them."""
    rng = np.random.default_rng(0)
    with (folder / "table.jsonl").open("w") as table:
        for i in range(count):
            picture = rng.integers(0, 99, SHAPE[1:]).astype(np.uint8)
            picture[:, :2] += 150
            PIL.Image.fromarray(picture).save(folder / f"{i}.png")
            soundfile.write(folder / f"{i}.wav", np.sin(np.arange(4000) * (0.1 + i / count)), 8000)
            captions = [f"{word} {i}" for word in ("a", "the", "one")]
            split = ("train", "train", "train", "val", "test")[i % 5]
            row = {"picture": f"{i}.png", "sound": f"{i}.wav", "caption": captions, "part": split}
            row["worth"] = [0.5, 1.0, float(i % 3)]  # of each caption
            table.write(json.dumps(row) + "\n")
    return folder


def rows_of(corpus: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (corpus / "table.jsonl").read_text().splitlines()]


def save_as_dataset(corpus: Path, folder: Path, files: dict[str, str]) -> Path:
    """A data set of the library `datasets` with the rows of a table; `files` is the folder of each column of files."""
    rows = [dict(row) for row in rows_of(corpus)]
    kinds = {
        "picture": datasets.Image(),
        "image": datasets.Image(),
        "sound": datasets.Audio(),
        "audio": datasets.Audio(),
    }
    lists = {"caption": "string", "worth": "float64"}
    features = {
        name: datasets.Sequence(datasets.Value(lists[name]))
        if name in lists
        else kinds.get(name, datasets.Value("string"))
        for name in rows[0]
    }
    for row in rows:
        for column, place in files.items():
            row[column] = {"bytes": (corpus / place / row[column]).read_bytes(), "path": row[column]}
    table = pa.Table.from_pylist(rows, schema=datasets.Features(features).arrow_schema)
    datasets.Dataset(table).save_to_disk(folder)
    return folder


def save_as_shards(corpus: Path, folder: Path, files: dict[str, str], shard: int = 10) -> Path:
    """Tar shards in WebDataset's layout, whose columns are those of the table."""
    folder.mkdir()
    rows = rows_of(corpus)
    for start in range(0, len(rows), shard):
        with tarfile.open(folder / f"{start:06}.tar", "w") as archive:
            for i, row in enumerate(rows[start : start + shard], start):
                members = {name: (corpus / place / row[name]).read_bytes() for name, place in files.items()}
                members["json"] = json.dumps({k: v for k, v in row.items() if k not in files}).encode()
                for column, content in members.items():
                    info = tarfile.TarInfo(f"{i:06}.{column}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    return folder
