"""Paired timing on a noisy machine: two things run in turns in one process, and only their ratio is reported."""

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mot_lightning.experiment.startup import keep_freed_memory


def begin(description: str | None, **options: dict[str, Any]) -> argparse.Namespace:
    """Parse the options of a benchmark and set up the process as the command line does before a run.

    Args:
        description: help text of the benchmark.
        options: arguments of `add_argument`, by name, for the options that only this benchmark has.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases, to test that it runs")
    for name, keywords in options.items():
        parser.add_argument(f"--{name}", **keywords)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    print(*machine().values(), sep=", ", end="\n\n", flush=True)
    return arguments


@cache
def machine() -> dict[str, str | int]:
    """The machine, versions and commit of the figures, as they were when the run began."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = f"{names[0]}, {len(names)} cores" if names else cpu
    describe = ["-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=7"]
    git, commit = shutil.which("git"), ""
    if git:
        commit = subprocess.run([git, *describe], capture_output=True, text=True, check=False).stdout.strip()
    described: dict[str, str | int] = {
        "cpu": cpu,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit or "unknown",
    }
    return described | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


def seconds(run: Callable[[], Any]) -> float:
    """The time of one run: until the GPU is done, or on one CPU thread the process time, which ignores other load."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    clock = time.perf_counter if torch.cuda.is_available() or torch.get_num_threads() > 1 else time.process_time
    start = clock()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


def ratio(a: Callable[[], Any], b: Callable[[], Any], budget: float = 4.0) -> float:
    """The median ratio of the times of a and b, run in turns for `budget` seconds and at least seven times."""
    for run in (a, b):
        run()
    pairs = []
    end = time.perf_counter() + budget
    while time.perf_counter() < end or len(pairs) < 7:
        first, second = (seconds(a), seconds(b)) if len(pairs) % 2 else (seconds(b), seconds(a))[::-1]
        pairs.append(first / second)
    return statistics.median(pairs)


def _product(q: Tensor, k: Tensor, causal: bool) -> int:
    """FLOPs of one matrix product between queries and the keys that they attend to."""
    b, h, n, e = q.shape
    return 2 * b * h * e * (n * (n + 1) // 2 if causal else n * k.shape[2])


# operators that PyTorch's counter does not know; flash attention on the CPU has two products forward, five backward


def _forward(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0, causal: bool = False, **_: Any) -> int:
    return 2 * _product(q, k, causal)


def _backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, total: Tensor, *others: Any, **_: Any) -> int:
    return 5 * _product(q, k, others[1])


def _linear(x: Tensor, weight: Tensor, *_: Any, **__: Any) -> int:
    return 2 * x.numel() * weight.shape[0]


def _added_product(total: Tensor, a: Tensor, b: Tensor, **_: Any) -> int:
    return 2 * a.numel() * b.shape[-1]


KERNELS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _forward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _backward,
    torch.ops.mkldnn._linear_pointwise: _linear,
    torch.ops.aten.baddbmm_: _added_product,
}
for count in KERNELS.values():
    count._get_raw = True  # type: ignore[attr-defined]  # counters get tensors, not shapes


def flops(run: Callable[[], Any]) -> int:
    """FLOPs of all matrix products and attentions in one run."""
    with FlopCounterMode(display=False, custom_mapping=KERNELS) as counter:
        run()
    return counter.get_total_flops()


BUDGET: dict[str, Any] = {"type": float, "default": 40.0, "help": "seconds of each comparison"}
DEVICE: dict[str, Any] = {"type": torch.device, "default": torch.device("cpu"), "help": "of both"}


def training_step(module: torch.nn.Module, forward: Callable[[], Tensor]) -> Callable[[], None]:
    """A forward and backward pass; gradients are discarded."""

    def step() -> None:
        module.zero_grad(set_to_none=True)
        forward().square().mean().backward()

    return step


def write(figures: dict[str, float], path: Path | None) -> None:
    """Write the figures and the machine as JSON, if there is a path."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**figures, "machine": machine()}, indent=2) + "\n")
        print(f"\nfigures: {path}")
