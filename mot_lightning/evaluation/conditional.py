"""Losses of a modality after another one and alone: what the model takes from the one for the other.

For ids the difference estimates their mutual information, in nats per token, as far as the model uses it: both losses
are cross-entropies of the same tokens.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mot_lightning.evaluation.bootstrap import interval, ratio
from mot_lightning.evaluation.document_losses import by_document
from mot_lightning.evaluation.rows import Row
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.sequence import Segment, pack

GIVEN, ALONE, TARGETS = range(3)  # columns of the sums
Document = Sequence[Segment]
Pair = tuple[str, str]  # given, target


def pairs_of(documents: Sequence[Document]) -> dict[Pair, list[Document]]:
    """Documents of two segments each, the first clean and without a loss, by modalities, sorted.

    A document gives one for each order of two modalities in it: the first segment of the one, and the first of the
    other after it, since a model knows only the orders that it saw.
    """
    pairs: dict[Pair, list[Document]] = {}
    for document in documents:
        seen: dict[str, int] = {}
        for k, segment in enumerate(document):
            seen.setdefault(segment.modality, k)
        for given, k in seen.items():
            following: dict[str, Segment] = {}
            for segment in document[k + 1 :]:
                if segment.modality != given:
                    following.setdefault(segment.modality, segment)
            for name, target in following.items():
                shown = target._replace(loss=True, noise_cap=1.0, weight=1.0)
                pairs.setdefault((given, name), []).append([document[k]._replace(loss=False), shown])
    return dict(sorted(pairs.items()))


def pair_sums(
    model: MixtureOfTransformers, documents: Sequence[Document], seeds: Sequence[int], batch_size: int, device: Any
) -> np.ndarray:
    """Summed losses of the second segment of each document, after the first and alone, and its targets, (n, 3).

    Args:
        seeds: of the noise, the same for both; a causal target has none, so that one is enough.
    """
    name, parts = documents[0][1].modality, []
    for start in range(0, len(documents), batch_size):
        both = [*documents[start : start + batch_size], *([d[1]] for d in documents[start : start + batch_size])]
        batch = pack(both, model.grammar, max(map(model.grammar.length, both))).to(device)
        total = np.zeros((len(both), 2))
        for seed in seeds[:1] if model.grammar.causal[name] else seeds:
            loss, weight, content = model(batch, seed)[name]
            weight = weight * content
            total += by_document(torch.stack([loss * weight, weight], 1), batch.by_modality[name], batch)
        after, alone = np.split(total, 2)
        parts.append(np.stack([after[:, 0], alone[:, 0], alone[:, 1]], 1))
    return np.concatenate(parts)


def pair_rows(pair: Pair, sums: np.ndarray, discrete: bool, seed: int, note: str = "") -> list[Row]:
    """The loss of a target after another modality, alone, and how much lower the first is, each over its targets."""
    given, target = pair
    unit = "nats/token" if discrete else "loss"
    columns = {unit: sums[:, GIVEN], f"{unit} alone": sums[:, ALONE]}
    columns["alone - given"] = sums[:, ALONE] - sums[:, GIVEN]
    rows = []
    for quantity, losses in columns.items():
        of_documents = np.stack([losses, sums[:, TARGETS]], 1)
        low, high = interval(of_documents, ratio, seed)
        value = ratio(of_documents.sum(0))
        said = note if "alone" in quantity else ""
        rows.append(Row("conditional", f"{target} | {given}", quantity, value, len(sums), low, high, said))
    return rows
