"""The speed of loaders beside training, of tokens beside records, and what a large index and many epochs cost.

    python benchmarks/data_sources.py [--flickr FOLDER] [--json FILE] [--threads N] [--quick]

All in one process without workers, timed in turns:

- `loader_over_step`: tokens a second of the loader over those of a training step, of conf/default.yaml.
- `encoded_over_raw`: batches a second of conf/flickr_speech.yaml from the tokens that `encode` writes over those from
  its files, each of which is decoded and encoded (its first epoch; later, the cache has them).
- `loader_over_step.encoded`: as the first, of that recipe from tokens.
- `index_seconds_1m`: to open a million records and read one, from `HuggingFace`, imports included; `.tokens`: from
  `Tokens`.
- `memory_growth`: private memory after 10 epochs of that recipe over that after 2, less 1; `.tokens`: from tokens.

Without a folder of Flickr8k, noise in its layout stands for it.
"""

import csv
import json
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import psutil
import pyarrow as pa
import soundfile
from paired import BUDGET, begin, ratio, write

import datamodules.documents
from datamodules.encoding import Parts, write_encoding
from datamodules.sources import HuggingFace, Source, Tokens
from datamodules.sources.tokens import ENCODING, part_path, parts_of
from mot_lightning.experiment.build import Experiment, build
from mot_lightning.experiment.resolve import resolve
from mot_lightning.experiment.startup import quiet

ROOT = Path(__file__).resolve().parents[1]
MILLION, AT_ONCE = 1_000_000, 16


def prepared(configs: list[Path], **settings: str) -> Experiment:
    """An experiment whose codecs are fitted."""
    experiment = build(resolve(configs, list(settings.items())), [])
    experiment.module.prepare(experiment.data)
    return experiment


def generated(folder: Path, count: int) -> Path:
    """Photographs of noise with two captions and a sound each, as in Flickr8k."""
    rng = np.random.default_rng(0)
    for name in ("images", "audio"):
        (folder / name).mkdir()
    with (folder / "captions.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "audio", "caption_index", "caption"])
        for i in range(count):
            PIL.Image.fromarray(rng.integers(0, 256, (375, 500, 3), np.uint8)).save(folder / f"images/{i}.jpg")
            soundfile.write(folder / f"audio/{i}.wav", rng.uniform(-0.3, 0.3, 40_000), 16_000)
            for k in range(2):
                words = " ".join(rng.choice(["a", "dog", "runs", "over", "green", "grass", "child", "water"], 10))
                table.writerow([f"{i}.jpg", f"{i}.wav", k, words])
    return folder


def loader_over_step(experiment: Experiment, budget: float) -> float:
    module: Any = experiment.module
    batches = iter(experiment.data.train_dataloader())
    parameters = list(module.model.parameters())
    batch = next(batches)

    def step() -> None:
        sums = module.sums(module.model(batch), batch)
        module.loss_weights.total(sums.loss, sums.targets).backward()
        for parameter in parameters:
            parameter.grad = None

    return ratio(step, lambda: next(batches), budget)


def encoded_over_raw(raw: Experiment, encoded: Experiment, budget: float) -> float:
    kept = datamodules.documents.MAX_CACHED_BYTES
    datamodules.documents.MAX_CACHED_BYTES = 0
    first, second = (iter(experiment.data.train_dataloader()) for experiment in (raw, encoded))
    try:
        # of the faster, as many as fill the caches of the processor anew after a batch of the other
        return AT_ONCE * ratio(lambda: next(first), lambda: [next(second) for _ in range(AT_ONCE)], budget)
    finally:
        datamodules.documents.MAX_CACHED_BYTES = kept


def encode(experiment: Experiment, folder: Path) -> Path:
    codecs: Any = dict(experiment.module.codecs.items())  # type: ignore[operator]
    folder.mkdir()
    parts = Parts(folder, write_encoding(folder, experiment.data, codecs), experiment.data, codecs)
    for number in range(len(parts)):
        parts[number]
    return folder


def seconds_to_open(source: Source) -> float:
    start = time.perf_counter()
    source.setup()
    source.record(len(source) - 1)
    return time.perf_counter() - start


def million_rows(folder: Path, count: int) -> HuggingFace:
    table = pa.table({"text": [f"record {i}" for i in range(count)], "label": list(range(count))})
    with pa.OSFile(str(folder / "rows.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=1000)
    return HuggingFace(folder / "rows.arrow")


def million_tokens(folder: Path, count: int) -> Tokens:
    folder.mkdir()
    encoding = {
        "format": 1, "records": count, "records_per_part": -(-count // 512), "latent_dims": {"text": None},
        "codecs": {"text": {"weights": ""}}, "recipe": {},
    }  # fmt: skip
    (folder / ENCODING).write_text(json.dumps(encoding))
    medium = [[{"tokens": list(range(16)), "bytes": 16, "weight": 1.0}]]
    for part in parts_of(encoding):
        n = part[1] - part[0]
        batch = pa.RecordBatch.from_pydict({"split": ["train"] * n, "position": [*range(*part)], "text": medium * n})
        batch = batch.replace_schema_metadata({"codecs": json.dumps({"text": ""})})
        with pa.OSFile(str(part_path(folder, part)), "wb") as file, pa.ipc.new_stream(file, batch.schema) as stream:
            for start in range(0, n, 256):
                stream.write_batch(batch.slice(start, 256))
    return Tokens(folder)


def memory_growth(experiment: Experiment, epochs: int) -> float:
    data = experiment.data
    batches = iter(data.train_dataloader())
    sizes = []
    for _ in range(epochs):
        for _ in islice(batches, -(-data.size("train") // data.batch_size)):
            pass
        sizes.append(psutil.Process().memory_full_info().uss)
    return sizes[-1] / sizes[1] - 1


def main() -> None:
    flickr = {"type": Path, "help": "folder with captions.csv, images/ and audio/"}
    arguments = begin(__doc__, budget=BUDGET, flickr=flickr)
    quiet()
    budget, count, records = (0.2, 40, 10_000) if arguments.quick else (arguments.budget, 400, MILLION)
    figures: dict[str, float] = {}

    def report(name: str, value: float) -> None:
        figures[name] = value
        print(f"{name:<28} {value:8.4f}", flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report("index_seconds_1m", seconds_to_open(million_rows(folder, records)))
        report("index_seconds_1m.tokens", seconds_to_open(million_tokens(folder / "million", records)))
        report("loader_over_step", loader_over_step(prepared([]), budget))
        (folder / "corpus").mkdir()
        corpus = arguments.flickr or generated(folder / "corpus", count)
        recipe = [ROOT / "conf/flickr_speech.yaml"]
        # of few words, BPE makes few ids
        small = {} if arguments.flickr else {"model.modalities.text.codec.vocab_size": "260"}
        raw = prepared(recipe, **{"data.source.path": str(corpus.resolve()), **small})
        tokens = encode(raw, folder / "tokens")
        encoded = prepared(recipe, **{"data.source": "Tokens", "data.source.path": str(tokens), **small})
        report("encoded_over_raw", encoded_over_raw(raw, encoded, budget))
        report("loader_over_step.encoded", loader_over_step(encoded, budget))
        for suffix, experiment in (("", raw), (".tokens", encoded)):
            report(f"memory_growth{suffix}", memory_growth(experiment, 10))
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
