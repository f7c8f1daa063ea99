"""Model FLOPs utilisation of a training step on a GPU, MoT and dense in turns: flex attention, compiled, bfloat16.

    python benchmarks/gpu.py [--dim 2048] [--depth 24] [--tokens 32768] [--budget S] [--json FILE] [--quick]

Timed are forward and backward passes of the backbone on packed documents of 4,096 tokens. Model FLOPs are 6 for each
weight that a token passes through and 12 times the width for each pair of query and visible key; recomputation does
not count. The peak is the card's dense bfloat16 peak from its data sheet, or else measured in the same run.
"""

import statistics
from collections.abc import Callable

import torch
from backbone import NAMES, packed, step
from lightning.fabric.utilities import move_data_to_device
from paired import BUDGET, begin, ratio, seconds, write

from mot_lightning.backbone import Backbone, BackboneSettings
from mot_lightning.sequence import InterleavedBatch

DOCUMENT = 4096
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bfloat16, by the makers' data sheets


def model_flops(model: Backbone, batch: InterleavedBatch) -> float:
    settings, layout = model.settings, batch.layout
    weights = sum(p.numel() for layer in model.layers for p in layer.towers[0].parameters() if p.dim() == 2)
    pairs = int((layout.last_visible.flatten()[layout.slot] + 1).sum())
    width = settings.heads * settings.head_size
    return 6.0 * weights * len(layout.slot) + 12.0 * width * pairs * settings.depth


def measured_peak(device: torch.device, dtype: torch.dtype) -> float:
    n = 8192 if device.type == "cuda" else 512
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    return max(2 * n**3 / seconds(lambda: a @ b) for _ in range(10))


def gpu(quick: bool) -> torch.device:
    """The CUDA device, or the CPU with --quick, to test that a benchmark runs."""
    if not torch.cuda.is_available() and not quick:
        raise SystemExit("there is no CUDA device, wanted one (--quick runs anywhere)")
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(run: Callable[[], None], device: torch.device) -> Callable[[], None]:
    def half() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            run()

    return half


def main() -> None:
    arguments = begin(
        __doc__,
        dim={"type": int, "default": 2048},
        depth={"type": int, "default": 24},
        tokens={"type": int, "default": 32_768, "help": "in a step"},
        budget=BUDGET,
    )
    device = gpu(arguments.quick)
    dim, depth, tokens, document = arguments.dim, arguments.depth, arguments.tokens, DOCUMENT
    if arguments.quick:
        dim, depth, tokens, document = 64, 2, 1024, 256
    runs, work = {}, 0.0  # FLOPs of a step
    for name in ("mot", "dense"):
        names = sorted(NAMES[:2])
        towers = {} if name == "mot" else {"all": names}
        head = min(128, dim // 2)
        settings = BackboneSettings(dim=dim, depth=depth, heads=dim // head, towers=towers, compile=not arguments.quick)
        with device:
            model = Backbone(settings, names)
        batch = packed(model, [document] * (tokens // document), document)
        work = model_flops(model, batch)
        runs[name] = autocast(step(model, move_data_to_device(batch, device)), device)
    card = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    peak = next((value for name, value in PEAKS.items() if name in card), None)
    peak = peak or measured_peak(device, torch.bfloat16)
    budget = 0.2 if arguments.quick else arguments.budget
    figures = {"mot_over_dense": ratio(runs["mot"], runs["dense"], budget)}
    for name, run in runs.items():
        elapsed = statistics.median(seconds(run) for _ in range(9))
        figures |= {f"mfu.{name}": work / elapsed / peak, f"tokens_per_second.{name}": tokens / elapsed}
    if device.type == "cuda":
        figures["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    print(f"{card}, torch {torch.__version__}, peak {peak / 1e12:.1f} TFLOP/s")
    print(f"dim {dim}, depth {depth}, {tokens} tokens\n")
    for name, value in figures.items():
        print(f"{name:<28} {value:12.3f}")
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
