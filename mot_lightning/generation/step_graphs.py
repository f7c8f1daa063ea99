"""Steps of generation as CUDA graphs: one launch in place of hundreds.

Knows steps as functions of tensors; the context says what they compute.
"""

from collections.abc import Callable, Hashable

import torch
from torch import Tensor


class StepGraphs:
    """Captured steps of one context, by kind. They hold the addresses of its cache, so they end with it."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, Hashable] = {}
        self.captured: dict[Hashable, _Step] = {}

    def __call__(self, kind: Hashable, at: Hashable, step: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """`step(*inputs)`.

        The first step of a kind runs as it is; the second is captured, as more are likely to follow.

        Args:
            kind: all that the kernels and their shapes depend on.
            at: what else has to be equal; a step that differs replaces the captured one of its kind.
        """
        if kind not in self._seen or self._seen[kind] != at:
            self._seen[kind] = at
            self.captured.pop(kind, None)
            return step(*inputs)
        if kind not in self.captured:
            self.captured[kind] = _Step(step, inputs)
        return self.captured[kind](*inputs)


class _Step:
    """A function of tensors, captured."""

    def __init__(self, step: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> None:
        self.step = step  # what it refers to has to outlive the graph
        self.inputs, self.graph = [x.clone() for x in inputs], torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.output = step(*self.inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        for x, new in zip(self.inputs, inputs, strict=True):
            x.copy_(new)
        self.graph.replay()
        return self.output.clone()
