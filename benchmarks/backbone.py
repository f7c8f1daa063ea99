"""The cost of MoT relative to a dense transformer, to boolean-mask routing, and to the machine's peak.

    python benchmarks/backbone.py [--json FILE] [--threads N] [--quick]

Every figure is a ratio of two things that run in turns in one process; the noise probe is one thing against itself.
Timed are forward and backward passes of the backbone alone, float32, on documents of random tokens.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from boolean_mask import BooleanMaskMoT
from paired import begin, flops, ratio, training_step, write
from torch import Tensor

from mot_lightning.backbone import Backbone, BackboneSettings
from mot_lightning.backbone.attention import attention_mask, build_attention
from mot_lightning.generation import Context
from mot_lightning.sequence import Grammar, InterleavedBatch, Segment, Tokens, pack

NAMES = ("text", "image", "speech")
IMAGE = 64  # patches of an image
TOKENS = {"text": Tokens(vocab_size=256), "image": Tokens(latent_dim=8, length=IMAGE), "speech": Tokens(vocab_size=128)}


def grammar(names: tuple[str, ...], groups: tuple[str, ...]) -> Grammar:
    causal = {name: name != "image" for name in names}
    return Grammar({name: TOKENS[name] for name in names}, causal, "text", groups)


def document(length: int, names: tuple[str, ...]) -> list[Segment]:
    """About `length` tokens, control tokens included: segments of all modalities in turn."""
    segments, used = [], 1
    while True:
        for name in names:
            n = min(IMAGE, length - used - 2)
            if n < (IMAGE if name == "image" else 1):
                if name == "image":
                    continue
                return segments
            kind = TOKENS[name]
            tokens = torch.randn(n, kind.latent_dim) if kind.latent_dim else torch.randint(kind.vocab_size or 1, (n,))
            segments.append(Segment(name, tokens))
            used += 2 + n


def packed(backbone: Backbone, lengths: list[int], row_length: int) -> InterleavedBatch:
    names = backbone.modalities
    documents = [document(n, tuple(name for name in NAMES if name in names)) for n in lengths]
    return pack(documents, grammar(tuple(sorted(names)), names), row_length)


def settings(dim: int, depth: int = 2, **others: object) -> BackboneSettings:
    return replace(BackboneSettings(dim=dim, depth=depth, heads=dim // 64), **others)


def backbone(dim: int, modalities: int, dense: bool = False, **others: object) -> Backbone:
    names = sorted(NAMES[:modalities])
    torch.manual_seed(0)
    return Backbone(settings(dim, towers={"all": names} if dense else {}, **others), names)


def step(model: Backbone, batch: InterleavedBatch, attention: str = "auto") -> Callable[[], None]:
    layout = batch.layout
    x = torch.randn(len(layout.slot), model.settings.dim, device=layout.slot.device)
    position = layout.position.flatten()[layout.slot]

    def forward() -> Tensor:
        attend = build_attention(attention, layout, x.dtype)  # type: ignore[arg-type]
        return model(x, layout.counts, position, attend, {})

    return training_step(model, forward)


def boolean_step(dim: int, modalities: int, batch: InterleavedBatch) -> Callable[[], None]:
    torch.manual_seed(0)
    layout = batch.layout
    model = BooleanMaskMoT(settings(dim), modalities)
    modality = torch.full((layout.position.numel(),), -1)
    modality[layout.slot] = torch.repeat_interleave(torch.arange(modalities), torch.tensor(layout.counts))
    modality = modality.view(layout.position.shape).clamp(min=0)
    x, mask = torch.randn(*layout.position.shape, dim), attention_mask(layout)
    return training_step(model, lambda: model(x, modality, layout.position.clamp(min=0), mask))


def mot_over_dense(dims: tuple[int, ...], budget: float) -> dict[str, float]:
    ratios = {}
    for dim in dims:
        for tokens, lengths in ((1024, [512, 512]), (256, [256])):
            for modalities in (2, 3):
                mixture, dense = backbone(dim, modalities), backbone(dim, modalities, dense=True)
                a, b = (packed(model, lengths, max(lengths)) for model in (mixture, dense))
                ratios[f"mot_over_dense.{dim}.{tokens}.{modalities}"] = ratio(step(mixture, a), step(dense, b), budget)
    return ratios


LAYOUTS = {"2x512": [512, 512], "10_documents_3840": [384] * 10}


def beside_masks(dim: int, budget: float) -> dict[str, float]:
    """MoT over dense with an explicit mask over one row, and boolean-mask routing over MoT."""
    ratios = {}
    for case, lengths in LAYOUTS.items():
        mixture, dense = backbone(dim, 2), backbone(dim, 2, dense=True)
        a, b = (packed(model, lengths, sum(lengths)) for model in (mixture, dense))
        ratios[f"mot_over_masked_dense.{case}"] = ratio(step(mixture, a), step(dense, b, "sdpa"), budget)
        ratios[f"bool_mask_over_ours.{case}"] = ratio(boolean_step(dim, 2, a), step(mixture, a), budget)
    return ratios


def gemm_share(dim: int, budget: float) -> float:
    """FLOPs per second of a training step over those of large matrix products, run in turns."""
    model = backbone(dim, 2)
    run = step(model, packed(model, [512, 512], 512))
    step_flops = flops(run)
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    products = max(1, round(step_flops / (2 * 1024**3)))

    def peak() -> None:
        for _ in range(products):
            a @ b

    return ratio(peak, run, budget) * step_flops / (products * 2 * 1024**3)


def padded_over_packed(dim: int, budget: float) -> float:
    """Documents with a long tail of lengths, padded to the longest and masked, over the same packed."""
    lengths = [int(n) for n in np.minimum(1024, 64 * np.arange(1, 17)[::-1] ** -1.0 * 16).clip(70)]
    lengths = sorted({*lengths}, reverse=True)[:6] + [80] * 10
    model = backbone(dim, 2)
    rows, padded = packed(model, lengths, max(lengths)), packed(model, [max(lengths)] * len(lengths), max(lengths))
    return ratio(step(model, padded, "sdpa"), step(model, rows), budget)


@torch.no_grad()
def decode(dim: int, budget: float) -> float:
    """Decoding a text token after 256 others: MoT over dense."""

    def one(model: Backbone) -> Callable[[], Tensor]:
        context = Context(model.eval(), 1, capacity=512)
        context.append(torch.randn(1, 256, dim), "text", True)
        x = torch.randn(1, 1, dim)
        return lambda: context.peek(x, "text", True)

    return ratio(one(backbone(dim, 3, depth=8)), one(backbone(dim, 3, dense=True, depth=8)), budget)


def saved_bytes_per_token(model: Backbone, batch: InterleavedBatch) -> float:
    """Bytes that a forward pass saves for the backward pass, without weights, by token and layer."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved: dict[int, int] = {}

    def record(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(record, lambda x: x):
        step(model, batch)()
    return sum(saved.values()) / len(batch.layout.slot) / model.settings.depth


def main() -> None:
    arguments = begin(__doc__)
    budget, dims = (0.2, (64,)) if arguments.quick else (6.0, (256, 512))
    figures: dict[str, float] = {}

    def report(measured: dict[str, float]) -> None:
        for name, value in measured.items():
            print(f"{name:<42} {value:8.3f}", flush=True)
        figures.update(measured)

    probe = backbone(dims[0], 2)
    batch = packed(probe, [512, 512], 512)
    report({"noise_probe": ratio(step(probe, batch), step(probe, batch), budget)})
    report(mot_over_dense(dims, budget))
    report(beside_masks(dims[0], 2 * budget))
    for dim in dims:
        report({f"gemm_share.{dim}": gemm_share(dim, budget)})
    report({"padded_over_packed": padded_over_packed(dims[0], 2 * budget)})
    report({"decode_mot_over_dense": decode(dims[-1], budget)})
    for name, model in (("mot", backbone(dims[0], 2)), ("dense", backbone(dims[0], 2, dense=True))):
        report({f"saved_bytes_per_token.{name}": saved_bytes_per_token(model, packed(model, [512, 512], 512))})
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
