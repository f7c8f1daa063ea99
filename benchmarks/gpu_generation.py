"""Text tokens per second on a GPU, bfloat16, and the fraction of the memory roofline that they reach.

    python benchmarks/gpu_generation.py [--dim 2048] [--depth 24] [--compile] [--no-captured] [--json FILE] [--quick]

A mixture of text and image continues prompts of 256 ids by text, in batches of 1 and 32, with `generate`. Prefill is
excluded: figures are the difference of a longer and a shorter run. At best, a step reads the weights of text once, and
the cached keys and values. These bytes over the bandwidth of a copy on the device are the least time of a step;
`roofline_share` is this time over the measured one.
"""

import statistics
from argparse import BooleanOptionalAction
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


def built(dim: int, depth: int, compile: bool, captured: bool, device: torch.device) -> MixtureOfTransformers:
    heads = dim // min(128, dim // 2)
    settings = BackboneSettings(dim=dim, depth=depth, heads=heads, compile=compile, cuda_graphs=captured)
    torch.manual_seed(0)
    with device:
        model = MixtureOfTransformers({"text": NextToken(), "image": FlowMatching()}, TOKENS, "text", settings)
    return model.bfloat16().eval()


def median(run: Callable[[], object], times: int) -> float:
    run()
    return statistics.median(seconds(run) for _ in range(times))


def bandwidth(device: torch.device) -> float:
    """Bytes per second that a copy reads and writes."""
    a = torch.randint(256, (2**33 if device.type == "cuda" else 2**28,), dtype=torch.uint8, device=device)
    b = torch.empty_like(a)
    return 2 * a.numel() / median(lambda: b.copy_(a), 5)


def bytes_of(model: MixtureOfTransformers, rows: int, length: float) -> float:
    """Bytes that one step has to read: the weights of text and the cache of `rows` sequences of a length."""
    settings = model.backbone.settings
    modules = [*model.backbone.weights_of("text"), model.control.head]
    weights = sum(p.numel() for module in modules for p in module.parameters())
    cached = rows * length * settings.depth * 2 * settings.key_heads * settings.head_size
    return 2 * (weights + cached)


def main() -> None:
    arguments = begin(
        __doc__,
        dim={"type": int, "default": 2048},
        depth={"type": int, "default": 24},
        compile={"action": "store_true", "help": "the regions between attentions"},
        captured={"action": BooleanOptionalAction, "default": True, "help": "as CUDA graphs"},
    )
    device = gpu(arguments.quick)
    dim, depth, short, long, times = (
        (64, 2, 4, 36, 3) if arguments.quick else (arguments.dim, arguments.depth, 8, 72, 3)
    )
    model, peak = built(dim, depth, arguments.compile, arguments.captured, device), bandwidth(device)
    figures = {"copy_gb_per_second": peak / 1e9}
    for rows in (1, 2) if arguments.quick else (1, 32):
        prompts = [[Segment("text", torch.randint(VOCABULARY, (PROMPT,)))] for _ in range(rows)]

        def generated(length: int, prompts: list[list[Segment]] = prompts) -> int:
            texts = generate(model, prompts, GenerationSettings(("text",), max_length=length, temperature=0))
            return sum(len(text.tokens) for (text,) in texts)

        # with random weights, hardly any text stops early
        tokens = generated(long) - generated(short)
        elapsed = median(lambda run=generated: run(long), times) - median(lambda run=generated: run(short), times)
        best = bytes_of(model, rows, PROMPT + (short + long) / 2) / peak
        figures |= {
            f"text_tokens_per_second.{rows}": tokens / elapsed,
            f"ms_per_step.{rows}": 1e3 * elapsed / (long - short),
            f"roofline_share.{rows}": best * (long - short) / elapsed,
        }
    print(f"{torch.cuda.get_device_name() if device.type == 'cuda' else 'CPU'}, dim {dim}, depth {depth}\n")
    for name, value in figures.items():
        print(f"{name:<28} {value:12.3f}")
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
