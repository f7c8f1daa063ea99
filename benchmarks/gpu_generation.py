"""Text tokens a second on a GPU, bfloat16, and their share of what the card's memory allows.

    python benchmarks/gpu_generation.py [--dim 2048] [--depth 24] [--compile] [--json FILE] [--quick]

A mixture of text and image writes text after prompts of 256 ids, one by itself and 32 at once, by `generate` as it
stands; the time of reading prompts is taken out, as the difference of a longer and a shorter run. At best a step reads
the weights that a token of text passes once, and the keys and values of all that stands before it: these bytes, over
those that a copy on the device reads and writes in a second, are the roofline that `roofline_share` is a share of.
"""

import statistics
from collections.abc import Callable

import torch
from gpu import gpu
from paired import begin, seconds, write

from mot_lightning.backbone import BackboneSettings
from mot_lightning.generation import GenerationSettings, generate
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.sequence import Segment, Tokens

VOCABULARY, PROMPT = 32_000, 256
TOKENS = {"text": Tokens(vocab_size=VOCABULARY), "image": Tokens(latent_dim=16, length=64)}


def built(dim: int, depth: int, compile: bool, device: torch.device) -> MixtureOfTransformers:
    settings = BackboneSettings(dim=dim, depth=depth, heads=dim // min(128, dim // 2), compile=compile)
    torch.manual_seed(0)
    with device:
        model = MixtureOfTransformers({"text": NextToken(), "image": FlowMatching()}, TOKENS, "text", settings)
    return model.bfloat16().eval()


def median(run: Callable[[], object], times: int) -> float:
    run()
    return statistics.median(seconds(run) for _ in range(times))


def bandwidth(device: torch.device) -> float:
    """Bytes a second that a copy reads and writes."""
    a = torch.randint(256, (2**33 if device.type == "cuda" else 2**28,), dtype=torch.uint8, device=device)
    b = torch.empty_like(a)
    return 2 * a.numel() / median(lambda: b.copy_(a), 5)


def bytes_of(model: MixtureOfTransformers, rows: int, length: float) -> float:
    """What one step has to read: the weights of text, and what is cached of `rows` sequences of a length."""
    settings = model.backbone.settings
    passed = [*model.backbone.weights_of("text"), model.control.head]
    weights = sum(p.numel() for module in passed for p in module.parameters())
    cached = rows * length * settings.depth * 2 * settings.key_heads * settings.head_size
    return 2 * (weights + cached)


def main() -> None:
    arguments = begin(
        __doc__,
        dim={"type": int, "default": 2048},
        depth={"type": int, "default": 24},
        compile={"action": "store_true", "help": "the regions between attentions"},
    )
    device = gpu(arguments.quick)
    dim, depth, short, long, times = (
        (64, 2, 4, 36, 3) if arguments.quick else (arguments.dim, arguments.depth, 8, 72, 3)
    )
    model, peak = built(dim, depth, arguments.compile, device), bandwidth(device)
    figures = {"copy_gb_per_second": peak / 1e9}
    for rows in (1, 2) if arguments.quick else (1, 32):
        prompts = [[Segment("text", torch.randint(VOCABULARY, (PROMPT,)))] for _ in range(rows)]

        def written(length: int, prompts: list[list[Segment]] = prompts) -> int:
            found = generate(model, prompts, GenerationSettings(("text",), max_length=length, temperature=0))
            return sum(len(text.tokens) for (text,) in found)

        # of random weights, hardly one stops by itself
        tokens = written(long) - written(short)
        taken = median(lambda run=written: run(long), times) - median(lambda run=written: run(short), times)
        best = bytes_of(model, rows, PROMPT + (short + long) / 2) / peak
        figures |= {
            f"text_tokens_per_second.{rows}": tokens / taken,
            f"ms_per_step.{rows}": 1e3 * taken / (long - short),
            f"roofline_share.{rows}": best * (long - short) / taken,
        }
    print(f"{torch.cuda.get_device_name() if device.type == 'cuda' else 'CPU'}, dim {dim}, depth {depth}\n")
    for name, value in figures.items():
        print(f"{name:<28} {value:12.3f}")
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
