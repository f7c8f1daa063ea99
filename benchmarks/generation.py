"""Generation by transfusion-pytorch over ours: equal width, depth, heads, prompts, lengths and network evaluations.

    uv run --group bench python benchmarks/generation.py [--device cuda] [--budget S] [--json FILE] [--quick]

Both have dim 256, depth 8, 4 heads of 64, feed-forward networks of 682, a vocabulary of 256 and random weights. Theirs
is one dense transformer, ours a mixture of two; a token passes through as many weights in both. Three cases:

- `image_cfg`: an image of 16x16 latents of 16 numbers after a prompt of 32 ids, with guidance 3. Both take 8 Euler
  steps, each with one evaluation with the prompt and one without.
- `image_batch4`: a batch of four such images.
- `text_decode`: 64 ids after a prompt of 32, sampled at temperature 1 with min-p .1.

Theirs samples with its key-value cache (`sample_many`; `sample_one` re-reads a prompt that ends in an image's begin
token at each step) and its other defaults, ours as `generate` does. Theirs takes more FLOPs, as its adaptive norm is
computed for each token, ours for each image. So the ratio per FLOP is given too; FLOPs are counted on the CPU, whatever
the device.
"""

import os
from collections.abc import Callable
from typing import Any

os.environ["TQDM_DISABLE"] = "1"  # theirs shows a bar for each sample

import torch
from loguru import logger
from paired import BUDGET, DEVICE, begin, flops, ratio, write
from transfusion_pytorch import Transfusion

from mot_lightning.backbone import BackboneSettings
from mot_lightning.generation import GenerationSettings, generate
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.sequence import Segment, Tokens

VOCABULARY, CHANNELS, HEAD, GUIDANCE, PROMPT = 256, 16, 64, 3.0, 32

Run = Callable[[], Any]
Prompts = list[torch.Tensor]  # on the device of the model


def theirs(dim: int, depth: int, side: int, steps: int, length: int, prompts: Prompts) -> dict[str, Run]:
    torch.manual_seed(0)
    model = Transfusion(
        num_text_tokens=VOCABULARY,
        dim_latent=CHANNELS,
        modality_default_shape=(side, side),
        transformer={"dim": dim, "depth": depth, "dim_head": HEAD, "heads": dim // HEAD},
        odeint_kwargs={"method": "euler"},
    )
    model.to(prompts[0].device).eval()

    def images(n: int) -> Run:
        return lambda: model.sample_many(
            [[prompt] for prompt in prompts[:n]],
            max_length=side**2 - 1,  # this image alone
            fixed_modality_shape=(side, side),
            force_modality_at_start=0,
            modality_steps=steps + 1,  # time points, one more than steps
            cfg_scale=GUIDANCE,
        )

    text = lambda: model.generate_text_only(prompts[0][None], PROMPT + length)  # noqa: E731
    return {"image_cfg": images(1), "image_batch4": images(4), "text_decode": text}


def ours(dim: int, depth: int, side: int, steps: int, length: int, prompts: Prompts) -> dict[str, Run]:
    settings = BackboneSettings(dim=dim, depth=depth, heads=dim // HEAD, ffn_dim=int(dim * 8 / 3))  # as in theirs
    objectives = {"text": NextToken(), "image": FlowMatching(steps=steps)}
    tokens = {"text": Tokens(vocab_size=VOCABULARY), "image": Tokens(latent_dim=CHANNELS, length=side**2)}
    torch.manual_seed(0)
    model = MixtureOfTransformers(objectives, tokens, "text", settings).to(prompts[0].device).eval()
    documents = [[Segment("text", prompt)] for prompt in prompts]
    guided = GenerationSettings(("image",), guidance=GUIDANCE)

    def text(seed: int) -> Run:
        return lambda: generate(
            model,
            documents[:1],
            GenerationSettings(("text",), max_length=length, temperature=1, top_p=1, min_p=0.1, seed=seed),
        )

    # with random weights, a few samples stop early: take a seed whose sample does not
    seed = next(seed for seed in range(100) if len(text(seed)()[0][0].tokens) == length)
    return {
        "image_cfg": lambda: generate(model, documents[:1], guided),
        "image_batch4": lambda: generate(model, documents, guided),
        "text_decode": text(seed),
    }


def main() -> None:
    arguments = begin(__doc__, device=DEVICE, budget=BUDGET)
    logger.disable("transfusion_pytorch")  # it logs where each sample stops
    budget, *size = (0.2, 64, 2, 4, 3, 8) if arguments.quick else (arguments.budget, 256, 8, 16, 8, 64)
    torch.manual_seed(0)
    prompts = [torch.randint(VOCABULARY, (PROMPT,)) for _ in range(4)]
    figures: dict[str, float] = {}
    on_cpu = [make(*size, prompts) for make in (theirs, ours)]
    their_runs, our_runs = (make(*size, [prompt.to(arguments.device) for prompt in prompts]) for make in (theirs, ours))
    for case, run in our_runs.items():
        their_flops, our_flops = (flops(runs[case]) for runs in on_cpu)
        time_ratio = ratio(their_runs[case], run, budget)
        figures |= {
            f"peer_{case}": time_ratio,
            f"peer_{case}_per_flop": time_ratio * our_flops / their_flops,
            f"peer_gflop.{case}": their_flops / 1e9,
            f"our_gflop.{case}": our_flops / 1e9,
        }
        for name in list(figures)[-4:]:
            print(f"{name:<42} {figures[name]:8.3f}", flush=True)
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
