"""Losses of each of several sources of documents, such as those of a `Mixture`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from mot_lightning.evaluation.bootstrap import interval, ratio
from mot_lightning.evaluation.document_losses import LOSS, TARGETS
from mot_lightning.evaluation.rows import Row
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.sequence import InterleavedBatch


class DocumentSources:
    """The source of each document of the batches that pass by.

    Attributes:
        names: of the sources; none if there is only one.
    """

    def __init__(self) -> None:
        self.names: Sequence[str] = ()
        self._parts: list[np.ndarray] = []

    def noted(self, batches: Iterable[InterleavedBatch]) -> Iterator[InterleavedBatch]:
        """The batches, after the sources of their documents are noted."""
        for batch in batches:
            if batch.sources is not None:
                self.names = batch.sources.names
                self._parts.append(_of_documents(batch, batch.sources.of_document.cpu().numpy()))
            yield batch

    @property
    def of_document(self) -> np.ndarray:
        """Indices among the names, (documents,)."""
        return np.concatenate(self._parts)


def _of_documents(batch: InterleavedBatch, of_packed: np.ndarray) -> np.ndarray:
    """The source of each document that `by_document` sums, where some are packed in pieces."""
    if batch.pieces is None:
        return of_packed
    sources = np.zeros(int(batch.pieces.max()) + 1, dtype=int)
    sources[batch.pieces] = of_packed
    return sources


def source_rows(
    model: MixtureOfTransformers, sums: Mapping[str, np.ndarray], sources: DocumentSources, seed: int
) -> list[Row]:
    """The mean loss of each modality's targets in each source; samples are documents with a target."""
    rows = []
    for k, source in enumerate(sources.names):
        for name in sorted(sums):
            losses = sums[name][sources.of_document == k][:, [LOSS, TARGETS]]
            present = losses[losses[:, 1] > 0]
            if len(present):
                unit = "nats/token" if model.objectives[name].discrete else "loss"
                low, high = interval(present, ratio, seed)
                rows.append(Row("sources", f"{name} ({source})", unit, ratio(present.sum(0)), len(present), low, high))
    return rows
