"""Model FLOPs utilisation of a training step on a GPU, MoT and dense in turns: flex attention, compiled, bfloat16.

    python benchmarks/gpu.py [--dim 2048] [--depth 24] [--tokens 32768] [--budget S] [--json FILE] [--quick]

Timed are forward and backward passes of the backbone on packed documents of 4,096 tokens, replayed as CUDA graphs
("mot", "dense") or launched one by one ("uncaptured"). "grouped" is the routing of BAGEL's ports, `grouped_routing.py`.
Model FLOPs are 6 for each weight that a token passes through and 12 times the width for each pair of query and visible
key; neither recomputation nor padding counts. The peak is the card's dense bfloat16 peak from its data sheet, or else
measured in the same run.
"""

import statistics
from argparse import BooleanOptionalAction
from collections.abc import Callable
from dataclasses import replace

import torch
from backbone import NAMES, packed, step
from grouped_routing import GroupedMoT
from lightning.fabric.utilities import move_data_to_device
from paired import BUDGET, begin, ratio, seconds, training_step, write
from torch import Tensor

from mot_lightning.backbone import Backbone, BackboneSettings, build_attention
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


def uncaptured(run: Callable[[], None], model: Backbone) -> Callable[[], None]:
    def launched() -> None:
        graphs, model.graphs = model.graphs, None
        run()
        model.graphs = graphs

    return launched


def grouped_step(backbone: Backbone, batch: InterleavedBatch) -> Callable[[], None]:
    layout, order = batch.layout, batch.layout.packed_index
    model = GroupedMoT(backbone)
    x = torch.randn(len(order), backbone.settings.dim, device=order.device)
    position = torch.empty_like(order).index_copy(0, order, layout.position.flatten()[layout.slot])
    in_sequence = layout._replace(slot=layout.slot.sort().values, packed_index=torch.arange(len(x), device=x.device))
    indices = list(order.split(layout.counts))

    def forward() -> Tensor:
        return model(x, indices, position, build_attention("auto", in_sequence, x.dtype))

    return training_step(model, forward)


def main() -> None:
    arguments = begin(
        __doc__,
        dim={"type": int, "default": 2048},
        depth={"type": int, "default": 24},
        tokens={"type": int, "default": 32_768, "help": "in a step"},
        captured={"action": BooleanOptionalAction, "default": True, "help": "as CUDA graphs"},
        budget=BUDGET,
    )
    device = gpu(arguments.quick)
    dim, depth, tokens, document = arguments.dim, arguments.depth, arguments.tokens, DOCUMENT
    if arguments.quick:
        dim, depth, tokens, document = 64, 2, 1024, 256
    names, head = sorted(NAMES[:2]), min(128, dim // 2)
    plain = BackboneSettings(dim=dim, depth=depth, heads=dim // head, compile=not arguments.quick)
    runs, work = {}, 0.0  # FLOPs of a step
    for name, towers in (("mot", {}), ("dense", {"all": names})):
        with device:
            model = Backbone(replace(plain, towers=towers, cuda_graphs=arguments.captured), names)
        batch = packed(model, [document] * (tokens // document), document)
        work = model_flops(model, batch)
        batch = move_data_to_device(batch, device)
        runs[name] = autocast(step(model, batch), device)
        if name == "mot" and arguments.captured:  # else the model may be too large for others beside it
            runs["grouped"] = autocast(grouped_step(model, batch), device)
            runs["uncaptured"] = uncaptured(runs["mot"], model)
    card = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    peak = next((value for name, value in PEAKS.items() if name in card), None)
    peak = peak or measured_peak(device, torch.bfloat16)
    budget = 0.2 if arguments.quick else arguments.budget
    figures = {
        f"{a}_over_{b}": ratio(runs[a], runs[b], budget)
        for a, b in (("mot", "dense"), ("uncaptured", "mot"), ("grouped", "mot"))
        if a in runs
    }
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
