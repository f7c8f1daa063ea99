"""A training step of transfusion-pytorch over ours: equal width, depth, heads, documents and objectives.

    uv run --group bench python benchmarks/peers.py [--device cuda [--captured]] [--budget S] [--json FILE] [--quick]

A step is packing (ours) or batching (theirs), forward, backward and fused AdamW, float32. Documents are text, image,
text; text by next token, images by flow matching. Theirs is one dense transformer, ours a mixture of two, each with its
defaults: feed-forward networks are 8/3 as wide as the model, rounded down by theirs and to a multiple of 64 by ours
(682 and 704 at dim 256, 1365 and 1344 at 512). Theirs takes more FLOPs, as its adaptive norm is computed for each
token, ours for each image. So the ratio per FLOP is given too; FLOPs are counted on the CPU, whatever the device.
"""

from collections.abc import Callable
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from paired import BUDGET, DEVICE, begin, flops, ratio, write
from torch import Tensor
from transfusion_pytorch import Transfusion

from mot_lightning.backbone import BackboneSettings
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.sequence import Segment, Tokens, pack

SIDE, CHANNELS, VOCABULARY, DEPTH, HEAD = 16, 16, 256, 8, 64

Document = list[Tensor]  # ids (n,) and images (side, side, channels)


def document(before: int, image: bool, after: int) -> Document:
    words = [torch.randint(VOCABULARY, (n,)) for n in (before, after) if n]
    return [words[0], torch.randn(SIDE, SIDE, CHANNELS), *words[1:]] if image else words[:1]


def uniform(batch: int) -> list[Document]:
    return [document(64, True, 64) for _ in range(batch)]


def ragged() -> list[Document]:
    """Eight documents; padding to the longest makes 2.07 times the tokens."""
    return [*uniform(2), *(document(n, False, 0) for n in (40, 72, 104, 136, 168, 204))]


def optimised(model: torch.nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def theirs(dim: int, depth: int, documents: list[Document], device: torch.device) -> Callable[[], None]:
    torch.manual_seed(0)
    model = Transfusion(
        num_text_tokens=VOCABULARY,
        dim_latent=CHANNELS,
        modality_default_shape=(SIDE, SIDE),
        transformer={"dim": dim, "depth": depth, "dim_head": HEAD, "heads": dim // HEAD},
    ).to(device)
    return optimised(model, lambda: model([[x.to(device) for x in document] for document in documents]))


def ours(
    dim: int, depth: int, documents: list[Document], device: torch.device, captured: bool = False
) -> Callable[[], None]:
    settings = BackboneSettings(dim=dim, depth=depth, heads=dim // HEAD, compile=captured, cuda_graphs=captured)
    objectives = {"text": NextToken(), "image": FlowMatching()}
    tokens = {"text": Tokens(vocab_size=VOCABULARY), "image": Tokens(latent_dim=CHANNELS, length=SIDE**2)}
    torch.manual_seed(0)
    model = MixtureOfTransformers(objectives, tokens, "text", settings).to(device)
    segments = [
        [Segment("image", x.flatten(0, 1)) if x.is_floating_point() else Segment("text", x) for x in document]
        for document in documents
    ]
    longest = max(map(model.grammar.length, segments))

    def loss() -> Any:
        batch = move_data_to_device(pack(segments, model.grammar, longest), device)
        losses = model(batch, 0).values()
        return sum((each.loss * each.weight).sum() / each.weight.sum() for each in losses)

    return optimised(model, loss)


def main() -> None:
    arguments = begin(
        __doc__,
        device=DEVICE,
        captured={"action": "store_true", "help": "ours compiled, and replayed as CUDA graphs"},
        budget=BUDGET,
    )
    budget, depth = (0.2, 2) if arguments.quick else (arguments.budget, DEPTH)
    cases = {"uniform_256": (256, uniform(4)), "uniform_512": (512, uniform(2)), "ragged_256": (256, ragged())}
    if arguments.quick:
        cases = {"ragged_64": (64, ragged())}
    figures: dict[str, float] = {}
    for case, (dim, documents) in cases.items():
        their_flops, our_flops = (flops(make(dim, depth, documents, torch.device("cpu"))) for make in (theirs, ours))
        their_step = theirs(dim, depth, documents, arguments.device)
        our_step = ours(dim, depth, documents, arguments.device, arguments.captured)
        time_ratio = ratio(their_step, our_step, budget)
        figures |= {
            f"peer_train.{case}": time_ratio,
            f"peer_train_per_flop.{case}": time_ratio * our_flops / their_flops,
            f"peer_gflop.{case}": their_flops / 1e9,
            f"our_gflop.{case}": our_flops / 1e9,
        }
        for name in list(figures)[-4:]:
            print(f"{name:<42} {figures[name]:8.3f}", flush=True)
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
