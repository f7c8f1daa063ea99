"""Batches padded to few sizes, so that what was captured or compiled for one batch serves others.

Each modality gets tokens of zeros after its tokens. They attend to themselves alone and nothing reads them, so the
hidden states of the other tokens, and all gradients, stay the same but for rounding.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mot_lightning.backbone.attention.flex import VisibleRanges
from mot_lightning.backbone.tower import Condition

UNIT = 128  # least tokens that sizes are multiples of: a tile of the attention's mask
STEPS = 16  # sizes between one power of two and the next: at most 1 / 16 of the tokens is padding


def padded_size(n: int, unit: int = UNIT) -> int:
    """The least size that holds n tokens: a multiple of `unit`, and of ever more units, so that few sizes occur."""
    units = -(-n // unit)
    step = max(1, 2 ** (units.bit_length() - 1) // STEPS)
    return -(-units // step) * step * unit


class PaddedBatch:
    """The inputs of a backbone, padded; all that differs between two batches of equal `shape` is in `tensors`.

    Args:
        modalities: of the backbone, in the order of their tokens.
        x, counts, position, conditions: as in `Backbone.forward`.
        ranges: the visible keys of each token.

    Attributes:
        sizes: tokens of each modality, padding included.
        tensors: by name; `inputs` takes them, or others of the same shapes.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        x: Float[Tensor, "N d"],
        counts: Sequence[int],
        position: Int[Tensor, " N"],
        ranges: VisibleRanges,
        conditions: Mapping[str, Condition],
    ) -> None:
        self.lengths = {name: condition.length for name, condition in conditions.items()}
        lengths = [self.lengths.get(name) or 1 for name in modalities]
        units = [length * -(-UNIT // length) for length in lengths]  # whole segments, where their length is fixed
        self.sizes = tuple(map(padded_size, counts, units))
        ends = list(accumulate(self.sizes))
        spans = [(end - size, end - size + n, end) for n, size, end in zip(counts, self.sizes, ends, strict=True)]
        self._kept = torch.cat([torch.arange(start, stop, device=x.device) for start, stop, _ in spans])  # (N,)
        added = torch.cat([torch.arange(stop, end, device=x.device) for _, stop, end in spans])
        alone = torch.arange(len(x), ends[-1], device=x.device)  # padding is packed after all tokens
        index = self._padded(ranges.packed_index).index_copy(0, added, alone)
        self.tensors = {
            "x": self._padded(x),
            "position": self._padded(position),
            "packed_index": index,
            "first": torch.cat([ranges.first, alone]),
            "last": torch.cat([ranges.last, alone]),
        }
        for name, (vector, segment, length, _) in conditions.items():
            rows = len(vector)
            size = self.sizes[modalities.index(name)]
            more = (size // length if length else padded_size(rows, 1)) - rows
            self.tensors[f"vector.{name}"] = torch.nn.functional.pad(vector, (0, 0, 0, more))
            if not length:
                self.tensors[f"segment.{name}"] = torch.nn.functional.pad(segment, (0, size - len(segment)))

    @property
    def shape(self) -> tuple[object, ...]:
        """What two batches must have in common so that `inputs` differs in values alone."""
        kinds = [(name, x.shape, x.dtype, x.requires_grad) for name, x in self.tensors.items()]
        return self.sizes, tuple(self.lengths.items()), *kinds

    def inputs(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, VisibleRanges, dict[str, Condition]]:
        """x, position, ranges and conditions of the padded batch."""
        x, position, index, first, last = list(tensors.values())[:5]
        conditions = {
            name: Condition(tensors[f"vector.{name}"], tensors.get(f"segment.{name}", position[:0]), length)
            for name, length in self.lengths.items()
        }
        return x, position, VisibleRanges(index, first, last), conditions

    def without_padding(self, hidden: Float[Tensor, "padded d"]) -> Float[Tensor, "N d"]:
        return hidden.index_select(0, self._kept)

    def _padded(self, x: Tensor) -> Tensor:
        return x.new_zeros(sum(self.sizes), *x.shape[1:]).index_copy(0, self._kept, x)
