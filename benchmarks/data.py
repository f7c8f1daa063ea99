"""The cost of the data: noise by document, and the slots of packed rows.

    python benchmarks/data.py [--flickr FOLDER] [--json FILE] [--threads N] [--quick]

`noise_overhead`: time of the noise of a batch over that of a training step of conf/default.yaml, timed in turns in one
process; the seeds of documents and tokens, made by the loader, are counted as noise. `packing_fill`: fraction of
slots of packed rows that hold a token, in batches of conf/flickr_speech.yaml, if a folder holds its data.
"""

import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
from paired import BUDGET, begin, ratio, write

from mot_lightning.experiment.build import Experiment, build
from mot_lightning.experiment.resolve import resolve
from mot_lightning.experiment.startup import quiet
from mot_lightning.noise import Noise
from mot_lightning.seeds import mix, mix_each

ROOT = Path(__file__).resolve().parents[1]


def prepared(folder: str, configs: list[str], **settings: str) -> Experiment:
    """An experiment whose codecs are fitted."""
    experiment = build(resolve(configs, list(settings.items())), [], Path(tempfile.mkdtemp(dir=folder)))
    experiment.module.prepare(experiment.data)
    return experiment


def noise_overhead(folder: str, budget: float) -> float:
    experiment = prepared(folder, [])
    module, parameters = experiment.module, [*experiment.module.model.parameters()]
    batch = next(iter(experiment.data.train_dataloader()))
    image = batch.by_modality["image"]
    segments = sum(len(part.segment_seed) for part in batch.by_modality.values())
    tokens = np.zeros(sum(batch.layout.counts), np.int64)
    assert image.tokens.numel()

    def noise() -> None:
        noise = Noise.of(image)
        noise.uniform()
        noise.token_normal(image.tokens.shape[1])
        for number in range(segments):
            mix(0, 0, number, 0, 1)
        mix_each(tokens, tokens)

    def step() -> None:
        sums = module.sums(module.model(batch), batch)
        module.loss_weights.total(sums.loss, sums.targets).backward()
        for parameter in parameters:
            parameter.grad = None

    return ratio(noise, step, budget)


def packing_fill(folder: str, source: Path, batches: int) -> float:
    settings = {"data.source.path": str(source.resolve())}
    data = prepared(folder, [str(ROOT / "conf/flickr_speech.yaml")], **settings).data
    first = [batch.layout for batch in islice(data.train_dataloader(), batches)]
    return sum(len(layout.slot) for layout in first) / sum(layout.document.numel() for layout in first)


def main() -> None:
    flickr = {"type": Path, "help": "folder with captions.csv, images/ and audio/"}
    arguments = begin(__doc__, budget=BUDGET, flickr=flickr)
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        figures = {"noise_overhead": noise_overhead(folder, 1.0 if arguments.quick else arguments.budget)}
        if arguments.flickr:
            figures["packing_fill"] = packing_fill(folder, arguments.flickr, 4 if arguments.quick else 40)
    for name, value in figures.items():
        print(f"{name:<28} {value:8.4f}")
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
