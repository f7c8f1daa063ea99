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
        targets = {name: batch.by_modality[name].target for name in self.codecs}
        of_ids = {name: self._bytes_of_ids(name, target) for name, target in targets.items()}
        return {name: sizes[targets[name]] for name, sizes in of_ids.items() if sizes is not None}  # (t,)

    def _bytes_of_ids(self, name: str, target: Tensor) -> Tensor | None:
        """Bytes of each id, (ids,), on the device of the targets; 0 for stop and control ids."""
        if name not in self._of_ids:
            sizes = self.codecs[name].bytes_per_token()
            if sizes is not None:
                sizes = F.pad(sizes, (0, self.grammar.ids(name) - len(sizes))).to(target.device)
            self._of_ids[name] = sizes
        return self._of_ids[name]
