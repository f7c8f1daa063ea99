"""How two things are compared on a noisy machine: run in turns, in one process, and only their ratio is quoted."""

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

from mot_lightning.memory import keep_freed_memory


def begin(description: str | None, **options: dict[str, Any]) -> argparse.Namespace:
    """Read the options that every benchmark has, and its own, and get ready as the command line does before a run.

    Args:
        description: what the benchmark says of itself.
        options: of this benchmark alone, by name: arguments of `add_argument`.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases: to see that it runs")
    for name, own in options.items():
        parser.add_argument(f"--{name}", **own)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    print(*machine().values(), sep=", ", end="\n\n", flush=True)
    return arguments


@cache
def machine() -> dict[str, str | int]:
    """What the figures are measured on, and of what: as it was when the run began."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = f"{names[0]}, {len(names)} cores" if names else cpu
    describe = ["-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=7"]
    git, commit = shutil.which("git"), ""
    if git:
        commit = subprocess.run([git, *describe], capture_output=True, text=True, check=False).stdout.strip()
    found: dict[str, str | int] = {
        "cpu": cpu,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit or "unknown",
    }
    return found | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


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


def _product(q: Tensor, k: Tensor, causal: bool) -> int:
    """FLOPs of one matrix product between queries and the keys that they see."""
    b, h, n, e = q.shape
    return 2 * b * h * e * (n * (n + 1) // 2 if causal else n * k.shape[2])


# what PyTorch's counter does not know. The CPU's flash attention has two products forward, five backward


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
    count._get_raw = True  # type: ignore[attr-defined]  # tensors in place of their shapes


def flops(run: Callable[[], Any]) -> int:
    """Floating-point operations of all matrix products and attentions in one run."""
    with FlopCounterMode(display=False, custom_mapping=KERNELS) as counter:
        run()
    return counter.get_total_flops()


BUDGET: dict[str, Any] = {"type": float, "default": 40.0, "help": "seconds of each comparison"}
DEVICE: dict[str, Any] = {"type": torch.device, "default": torch.device("cpu"), "help": "both run there"}


def training_step(module: torch.nn.Module, forward: Callable[[], Tensor]) -> Callable[[], None]:
    """Forward and backward, gradients dropped."""

    def step() -> None:
        module.zero_grad(set_to_none=True)
        forward().square().mean().backward()

    return step


def write(figures: dict[str, float], path: Path | None) -> None:
    """The figures as JSON, and the machine that they were measured on, if there is a path."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**figures, "machine": machine()}, indent=2) + "\n")
        print(f"\nfigures: {path}")
