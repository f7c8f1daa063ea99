"""How two things are compared on a noisy machine: run in turns, in one process, and only their ratio is quoted."""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mot_lightning.memory import keep_freed_memory


def prepare(threads: int) -> None:
    """As the command line does before a run."""
    torch.set_num_threads(threads)
    keep_freed_memory()


def seconds(run: Callable[[], Any]) -> float:
    """One run: on a GPU until it is done there; on one CPU thread its own time, whatever else the machine does."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    clock = time.perf_counter if torch.cuda.is_available() or torch.get_num_threads() > 1 else time.process_time
    start = clock()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


def ratio(a: Callable[[], Any], b: Callable[[], Any], budget: float = 4.0) -> float:
    """Median of the time of a over the time of b, the two taking turns for `budget` seconds, at least seven times."""
    for run in (a, b):
        run()
    pairs = []
    end = time.perf_counter() + budget
    while time.perf_counter() < end or len(pairs) < 7:
        first, second = (seconds(a), seconds(b)) if len(pairs) % 2 else (seconds(b), seconds(a))[::-1]
        pairs.append(first / second)
    return statistics.median(pairs)


def _added_product(total: torch.Size, a: torch.Size, b: torch.Size, **_: Any) -> int:
    batch, n, m = a
    return 2 * batch * n * m * b[-1]


def flops(run: Callable[[], Any]) -> int:
    """Floating-point operations of all matrix products and attentions in one run."""
    # the counter does not know the product that adds in place
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.baddbmm_: _added_product}) as counter:
        run()
    return counter.get_total_flops()


def training_step(module: torch.nn.Module, forward: Callable[[], Tensor]) -> Callable[[], None]:
    """Forward and backward, gradients dropped."""

    def step() -> None:
        module.zero_grad(set_to_none=True)
        forward().square().mean().backward()

    return step


def write(figures: dict[str, float], path: Path | None) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=2) + "\n")
        print(f"\nfigures: {path}")
