"""Losses of a model by document: sums of each modality, to be added, divided and drawn again."""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mot_lightning.codecs import Codec
from mot_lightning.evaluation.bootstrap import Statistic, interval, ratio
from mot_lightning.evaluation.rows import Row
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.seeds import mix
from mot_lightning.sequence import InterleavedBatch, ModalityBatch

# columns of the sums: of all targets, then without control tokens
LOSS, TARGETS, CONTENT_LOSS, CONTENT_TARGETS, CONTENT_BYTES = range(5)
Bytes = Callable[[InterleavedBatch], Mapping[str, Tensor]]


def by_document(values: Tensor, part: ModalityBatch, batch: InterleavedBatch) -> np.ndarray:
    """Values of targets (t, q), summed by document: (documents, q), in float64."""
    place = batch.layout.document.flatten()[batch.layout.slot[part.read_at]].cpu()  # (t,)
    pieces = int(batch.layout.document.max()) + 1
    if batch.pieces is not None:
        place, pieces = torch.from_numpy(batch.pieces)[place], int(batch.pieces.max()) + 1
    return torch.zeros(pieces, values.shape[1], dtype=torch.float64).index_add_(0, place, values.cpu().double()).numpy()


def seed_of(seed: int, batch: InterleavedBatch, number: int) -> int:
    """The seed of the noise of a batch, as in a validation."""
    return seed if batch.seeded else mix(seed, number, 0, 2)


def noise_seeds(seed: int, count: int) -> list[int]:
    """Seeds of several passes over seeded documents; the first is that of a validation."""
    return [seed, *(mix(seed, k, 3) for k in range(1, count))]


def document_sums(
    model: MixtureOfTransformers,
    batches: Iterable[InterleavedBatch],
    seed: int,
    target_bytes: Bytes,
) -> dict[str, np.ndarray]:
    """The sums of each document, (documents, 5), by modality."""
    parts: dict[str, list[np.ndarray]] = {}
    for number, batch in enumerate(batches):
        sizes = target_bytes(batch)
        for name, (loss, weight, content) in model(batch, seed_of(seed, batch, number)).items():
            content_weight = weight * content
            size = sizes.get(name, loss.new_zeros(()))
            columns = [loss * weight, weight, loss * content_weight, content_weight, size * content_weight]
            parts.setdefault(name, []).append(by_document(torch.stack(columns, 1), batch.by_modality[name], batch))
    return {name: np.concatenate(sums) for name, sums in parts.items()}


def loss_rows(
    model: MixtureOfTransformers, codecs: Mapping[str, Codec], sums: Mapping[str, np.ndarray], seed: int
) -> list[Row]:
    """The mean loss of each modality's targets and what its codec makes of it; samples are documents with a target."""
    rows = []
    for name in sorted(sums):
        present = sums[name][sums[name][:, TARGETS] > 0]
        if not len(present):
            continue
        discrete, total = model.objectives[name].discrete, present.sum(0)
        statistics: dict[str, Statistic] = {"nats/token" if discrete else "loss": ratio}
        if discrete and total[CONTENT_TARGETS]:
            quantities = codecs[name].metrics(*total[CONTENT_LOSS:].tolist())
            statistics |= {quantity: partial(_of_codec, codecs[name], quantity) for quantity in quantities}
        for quantity, statistic in statistics.items():
            low, high = interval(present, statistic, seed)
            rows.append(Row("losses", name, quantity.replace("_", " "), statistic(total), len(present), low, high))
        rows.append(Row("losses", name, "targets", float(total[TARGETS]), len(present)))
    return rows


def _of_codec(codec: Codec, quantity: str, sums: np.ndarray) -> float:
    return codec.metrics(*sums[CONTENT_LOSS:].tolist())[quantity] if sums[CONTENT_TARGETS] else math.nan
