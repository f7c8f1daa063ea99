"""How many bytes each target encodes, for bits per byte."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from mot_lightning.codecs.base import Codec
from mot_lightning.sequence import Grammar, InterleavedBatch


class TargetBytes:
    """Bytes that the targets of a batch encode, of modalities whose media are bytes."""

    def __init__(self, codecs: Mapping[str, Codec], grammar: Grammar) -> None:
        self.codecs, self.grammar = codecs, grammar
        self.clear()

    def clear(self) -> None:
        """Ask the codecs anew, as they have been fitted."""
        self._of_ids: dict[str, Tensor | None] = {}

    def __call__(self, batch: InterleavedBatch) -> dict[str, Tensor]:
        """The bytes of each target, (t,), by modality."""
        sizes = {}
        for name in self.codecs:
            part = batch.by_modality[name]
            if (of_ids := self._bytes_of_ids(name, part.target)) is not None:
                sizes[name] = of_ids[part.target] + part.extra_bytes  # (t,)
        return sizes

    def _bytes_of_ids(self, name: str, target: Tensor) -> Tensor | None:
        """Bytes of each id, (ids,), on the device of the targets; 0 for stop and control ids."""
        if name not in self._of_ids:
            sizes = self.codecs[name].bytes_per_token()
            if sizes is not None:
                sizes = F.pad(sizes, (0, self.grammar.ids(name) - len(sizes))).to(target.device)
            self._of_ids[name] = sizes
        return self._of_ids[name]
