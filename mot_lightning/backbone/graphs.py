"""Training steps of the backbone as CUDA graphs: two launches in place of thousands.

Small layers take less time on the GPU than Python takes to launch their kernels. So the forward and the backward pass
of each size of batch (`padding.py`) are captured once, and replayed from then on. All graphs share their memory, since
the backward pass of one ends before the forward pass of the next begins. Where it does not, a batch runs uncaptured.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mot_lightning.backbone.padding import PaddedBatch

MOST = 64  # graphs; batches of further sizes run uncaptured

Tensors = Mapping[str, Tensor]


def can_capture(parameters: Sequence[Tensor]) -> bool:
    """Whether a pass with these weights can be captured: it trains them, on CUDA, and none is sharded."""
    return torch.is_grad_enabled() and all(p.is_cuda and type(p) is nn.Parameter for p in parameters)


class TrainingGraphs:
    """The graphs of one backbone. A copy of it starts empty, as captured weights are those of the original."""

    def __init__(self) -> None:
        self.captured: dict[Any, _Graph] = {}
        self._buffers: dict[str, Tensor] = {}
        self._pool: Any = None
        self._replays = 0
        self._pending: weakref.ref[_Pass] | None = None

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return TrainingGraphs, ()

    def __call__(
        self, batch: PaddedBatch, run: Callable[[Tensors], Tensor], parameters: Sequence[Tensor], state: object
    ) -> Tensor:
        """`run(batch.tensors)`, captured unless an earlier batch still waits for its backward pass.

        Args:
            run: the forward pass of a padded batch.
            parameters: all weights that it reads.
            state: whatever else it depends on.
        """
        cast = (torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda"))
        weights = tuple((p.data_ptr(), p.requires_grad) for p in parameters)  # moved weights are captured anew
        key = (batch.shape, cast, weights, state)
        waits = self._pending is not None and self._pending() is not None
        if waits or (key not in self.captured and len(self.captured) == MOST):
            return run(batch.tensors)
        if key not in self.captured:
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            self.captured[key] = _Graph(self, run, batch.tensors, [p for p in parameters if p.requires_grad])
        graph = self.captured[key]
        return _Replay.apply(graph, *batch.tensors.values(), *graph.parameters)

    def buffer(self, name: str, like: Tensor) -> Tensor:
        """Memory of the shape and type of a tensor, which all graphs share."""
        name, n = f"{name}, {like.dtype}", like.numel()
        if name not in self._buffers or self._buffers[name].numel() < n:
            self._buffers[name] = torch.empty(n, dtype=like.dtype, device=like.device)
        return self._buffers[name][:n].view(like.shape)

    def begin(self) -> "_Pass":
        """A forward pass overwrites the activations of the one before."""
        self._replays += 1
        started = _Pass(self._replays)
        self._pending = weakref.ref(started)
        return started

    def end(self, started: "_Pass") -> None:
        if started.number != self._replays:
            raise RuntimeError("a later batch has overwritten these activations: wanted one backward pass for each")
        self._pending = None


class _Pass:
    """A forward pass, as long as autograd remembers it."""

    def __init__(self, number: int) -> None:
        self.number = number


class _Graph:
    """Forward and backward pass of one size of batch."""

    def __init__(
        self, graphs: TrainingGraphs, run: Callable[[Tensors], Tensor], tensors: Tensors, parameters: list[Tensor]
    ) -> None:
        self.graphs, self.parameters = graphs, parameters
        self.inputs = {
            name: graphs.buffer(name, x).copy_(x.detach()).requires_grad_(x.requires_grad)
            for name, x in tensors.items()
        }
        variables = [*(x for x in self.inputs.values() if x.requires_grad), *parameters]

        def forward() -> Tensor:
            # casts of the weights are part of the graph, not taken from autocast's cache
            with torch.autocast("cuda", enabled=torch.is_autocast_enabled("cuda"), cache_enabled=False):
                return run(self.inputs)

        def backward(hidden: Tensor, d_hidden: Tensor) -> tuple[Tensor | None, ...]:
            return torch.autograd.grad(hidden, variables, d_hidden, allow_unused=True)

        stream = torch.cuda.Stream()  # as PyTorch advises; it compiles, loads and tunes kernels
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            hidden = forward()
            gradients = backward(hidden, torch.zeros_like(hidden))
        torch.cuda.current_stream().wait_stream(stream)
        self.hidden, self.d_hidden = (graphs.buffer(name, hidden) for name in ("hidden", "d_hidden"))
        self.gradients = [None if g is None else graphs.buffer(f"gradient {i}", g) for i, g in enumerate(gradients)]
        del hidden, gradients
        self.passes = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        # other threads may use the GPU meanwhile, as those that pin memory for loaders do
        capture = [torch.cuda.graph(p, graphs._pool, capture_error_mode="thread_local") for p in self.passes]
        with capture[0]:
            hidden = forward()
            self.hidden.copy_(hidden.detach())
        with capture[1]:
            computed = backward(hidden, self.d_hidden)
            both = zip(self.gradients, computed, strict=True)
            pairs = [(g, new) for g, new in both if g is not None and new is not None]
            torch._foreach_copy_([g for g, _ in pairs], [new for _, new in pairs])

    def detach_gradients(self) -> None:
        """Copy the gradients of weights that autograd has left in this graph's memory, before they are overwritten."""
        of_parameters = self.gradients[len(self.gradients) - len(self.parameters) :]
        for parameter, gradient in zip(self.parameters, of_parameters, strict=True):
            held = parameter.grad
            if held is not None and gradient is not None and held.data_ptr() == gradient.data_ptr():
                parameter.grad = held.clone()


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, graph: _Graph, *tensors: Tensor) -> Tensor:
        ctx.graph, ctx.started = graph, graph.graphs.begin()
        for x, new in zip(graph.inputs.values(), tensors, strict=False):
            x.copy_(new)
        graph.passes[0].replay()
        return graph.hidden.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hidden: Tensor) -> tuple[Tensor | None, ...]:
        graph = ctx.graph
        graph.graphs.end(ctx.started)
        graph.detach_gradients()
        graph.d_hidden.copy_(d_hidden)
        graph.passes[1].replay()
        gradients = iter(graph.gradients)
        of_inputs = [next(gradients) if x.requires_grad else None for x in graph.inputs.values()]
        return None, *(None if g is None else g.detach() for g in (*of_inputs, *gradients))
