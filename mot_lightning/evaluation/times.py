"""The loss of diffusion and flow matching by time: where on the way from data (t = 0) to noise (t = 1) it is high."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from mot_lightning.evaluation.bootstrap import interval, ratio
from mot_lightning.evaluation.document_losses import by_document
from mot_lightning.evaluation.rows import Row
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.noise import Noise
from mot_lightning.objectives.denoising import DenoisingObjective
from mot_lightning.runs.curves import Curve
from mot_lightning.sequence import InterleavedBatch

BINS = 10


def denoised(model: MixtureOfTransformers) -> dict[str, DenoisingObjective]:
    """The objectives that have times, by modality."""
    return {name: one for name, one in model.objectives.items() if isinstance(one, DenoisingObjective)}


def time_sums(
    model: MixtureOfTransformers, batches: Iterable[InterleavedBatch], seeds: Sequence[int]
) -> dict[str, np.ndarray]:
    """Losses and targets of each document in each bin of time, (documents, BINS, 2), by modality.

    Times are those that training samples, anew with each seed: they are a function of it and of each segment's seed.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for batch in batches:
        total: dict[str, np.ndarray] = {}
        for seed in seeds:
            losses = model(batch, seed)
            for name, objective in denoised(model).items():
                part, (loss, weight, _) = batch.by_modality[name], losses[name]
                t = objective.sample_times(part.noise_cap, Noise.of(part, seed))[part.segment]  # (t,)
                bins = torch.nn.functional.one_hot((t * BINS).long().clamp(max=BINS - 1), BINS)  # (t, BINS)
                values = torch.stack([loss * weight, weight], 1)[:, None] * bins[..., None]  # (t, BINS, 2)
                total[name] = total.get(name, 0) + by_document(values.flatten(1), part, batch)
        for name, sums in total.items():
            parts.setdefault(name, []).append(sums.reshape(-1, BINS, 2))
    return {name: np.concatenate(sums) for name, sums in parts.items()}


def time_rows(name: str, sums: np.ndarray, seed: int) -> list[Row]:
    """The mean loss in each bin that has targets, and over all; samples are documents with a target in the bin."""
    rows = []
    by_bin = {f"t {k / BINS:.1f} to {(k + 1) / BINS:.1f}": sums[:, k] for k in range(BINS)}
    for quantity, of_bin in {**by_bin, "all times": sums.sum(1)}.items():
        present = of_bin[of_bin[:, 1] > 0]
        if len(present):
            low, high = interval(present, ratio, seed)
            rows.append(Row("times", name, quantity, ratio(present.sum(0)), len(present), low, high))
    return rows


def time_curve(name: str, sums: np.ndarray, split: str) -> Curve:
    """The mean loss of each bin over the middle of the bin."""
    losses = [ratio(total) for total in sums.sum(0)]
    points = [((k + 0.5) / BINS, loss) for k, loss in enumerate(losses) if not math.isnan(loss)]
    stages: Mapping[str, tuple[list[float], list[float]]] = {split: ([t for t, _ in points], [x for _, x in points])}
    return Curve(name, "loss", stages)
