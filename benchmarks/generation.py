"""Generation by transfusion-pytorch over ours: equal width, depth, heads, prompts, lengths and network evaluations.

    uv run --group bench python benchmarks/generation.py [--device cuda] [--budget S] [--json FILE] [--quick]

Both have dim 256, depth 8, 4 heads of 64, feed-forward networks of 682, a vocabulary of 256 and random weights. Theirs
is one dense transformer, ours a mixture of two; a token passes as many weights in both. Three cases:

- `image_cfg`: an image of 16x16 latents of 16 numbers after a prompt of 32 ids, with guidance 3. 8 Euler steps in both,
  each of them an evaluation with the prompt and one without.
- `image_batch4`: four of them at once.
- `text_decode`: 64 ids after a prompt of 32, drawn at temperature 1 among those of at least a tenth of the likeliest's
  probability.

Theirs samples with its key-value cache (`sample_many`; its `sample_one` reads a prompt that ends in an image's begin
token anew at each step) and its defaults otherwise, ours as `generate` does. They spend more: their adaptive norm is
computed for each token, ours for each image. So the same ratio per FLOP stands beside each; FLOPs are counted on the
CPU, wherever it is timed.
"""

import os
from collections.abc import Callable
from typing import Any

os.environ["TQDM_DISABLE"] = "1"  # theirs draws a bar for each sample

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
Prompts = list[torch.Tensor]  # on the device where they are to be continued


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
            max_length=side**2 - 1,  # and no more
            fixed_modality_shape=(side, side),
            force_modality_at_start=0,
            modality_steps=steps + 1,  # points in time
            cfg_scale=GUIDANCE,
        )

    text = lambda: model.generate_text_only(prompts[0][None], PROMPT + length)  # noqa: E731
    return {"image_cfg": images(1), "image_batch4": images(4), "text_decode": text}


def ours(dim: int, depth: int, side: int, steps: int, length: int, prompts: Prompts) -> dict[str, Run]:
    settings = BackboneSettings(dim=dim, depth=depth, heads=dim // HEAD, ffn_dim=int(dim * 8 / 3))  # theirs
    objectives = {"text": NextToken(), "image": FlowMatching(steps=steps)}
    tokens = {"text": Tokens(vocab_size=VOCABULARY), "image": Tokens(latent_dim=CHANNELS, length=side**2)}
    torch.manual_seed(0)
    model = MixtureOfTransformers(objectives, tokens, "text", settings).to(prompts[0].device).eval()
    documents = [[Segment("text", prompt)] for prompt in prompts]
    guided = GenerationSettings(("image",), guidance=GUIDANCE)

    def text(seed: int) -> Run:
        return lambda: generate(
            model, documents[:1], GenerationSettings(("text",), max_length=length, min_p=0.1, seed=seed)
        )

    # of random weights, one in so many samples stops by itself: take one that does not
    seed = next(seed for seed in range(100) if len(text(seed)()[0][0].tokens) == length)
    return {
        "image_cfg": lambda: generate(model, documents[:1], guided),
        "image_batch4": lambda: generate(model, documents, guided),
        "text_decode": text(seed),
    }


def main() -> None:
    arguments = begin(__doc__, device=DEVICE, budget=BUDGET)
    logger.disable("transfusion_pytorch")  # says where each sample stops
    budget, *size = (0.2, 64, 2, 4, 3, 8) if arguments.quick else (arguments.budget, 256, 8, 16, 8, 64)
    torch.manual_seed(0)
    prompts = [torch.randint(VOCABULARY, (PROMPT,)) for _ in range(4)]
    figures: dict[str, float] = {}
    counted = [make(*size, prompts) for make in (theirs, ours)]
    them, own = (make(*size, [prompt.to(arguments.device) for prompt in prompts]) for make in (theirs, ours))
    for case, run in own.items():
        spent, needed = (flops(runs[case]) for runs in counted)
        slower = ratio(them[case], run, budget)
        figures |= {
            f"peer_{case}": slower,
            f"peer_{case}_per_flop": slower * needed / spent,
            f"peer_gflop.{case}": spent / 1e9,
            f"our_gflop.{case}": needed / 1e9,
        }
        for name in list(figures)[-4:]:
            print(f"{name:<42} {figures[name]:8.3f}", flush=True)
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
