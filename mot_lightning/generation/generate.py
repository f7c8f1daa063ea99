"""Generation: from prompts to continuations, all at once.

Knows documents; reading them is left to `prefill.py`, sampling to `sampler.py`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch

from mot_lightning.generation.checks import check_prompts
from mot_lightning.generation.cpu_linear import repacked_weights
from mot_lightning.generation.prefill import prefill
from mot_lightning.generation.sampler import Progress, Sampler
from mot_lightning.generation.settings import GenerationSettings
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Segment


def generate(
    model: MixtureOfTransformers,
    prompts: Sequence[Sequence[Segment]],
    settings: GenerationSettings,
    samples: Sequence[int] | None = None,
    progress: Progress | None = None,
    negative_prompt: Sequence[Segment] = (),
) -> list[list[Segment]]:
    """Continue each prompt; returns the new segments only.

    Args:
        samples: sample number of each prompt, by default 0, 1, 2, ...; with `settings.seed`, it seeds the sampling.
        progress: called for ids that are sampled one by one.
        negative_prompt: what guidance leads away from, for all prompts; empty is an empty document.

    Raises:
        ValueError: a setting or a prompt does not fit the model.
    """
    check_prompts(model.grammar, prompts, settings, negative_prompt)
    if not prompts:
        return []
    device = next(model.parameters()).device
    numbers = range(len(prompts)) if samples is None else samples
    generators = [generator_for(settings.seed, number, device=device) for number in numbers]
    with inference(model):
        context = prefill(model, prompts, settings.continue_final_segment)
        opened = [prompt[-1] for prompt in prompts] if settings.continue_final_segment else []
        continuations = Sampler(model, settings, generators, progress, negative_prompt)(context, opened)
    return [trainable(segments) for segments in continuations]


@contextmanager
def inference(model: MixtureOfTransformers) -> Iterator[None]:
    """In this context, the model runs without gradients and, on the CPU, with repacked weights."""
    # a compiled region would be recompiled for each layer with repacked weights
    weights = nullcontext() if model.backbone.settings.compile else repacked_weights(model)
    with torch.inference_mode(), weights:
        yield


def trainable(segments: Sequence[Segment]) -> list[Segment]:
    """The segments as clones made outside inference mode: inference tensors cannot be used in autograd."""
    return [segment._replace(tokens=segment.tokens.clone()) for segment in segments]
