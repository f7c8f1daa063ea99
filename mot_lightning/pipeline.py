"""MoTPipeline: continues prompts of text, images and audio with a trained model and its codecs.

Knows how to generate, and leaves files to `saved_pipeline.py`; it needs no trainer, no datamodule and no run folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mot_lightning.config.types import check_names
from mot_lightning.generation import GenerationSettings, generate
from mot_lightning.generation.checks import check_prompts
from mot_lightning.generation.prompts import Document, Prompt, decode, encode, read_prompt, warn_of_ended
from mot_lightning.generation.sampler import Progress, Sampler
from mot_lightning.generation.session import Session
from mot_lightning.generation.settings import DEFAULT_GUIDANCE
from mot_lightning.saved_pipeline import SavedPipeline
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Segment


class MoTPipeline(SavedPipeline):
    """Continues documents of text, images and audio.

    Args:
        codecs: of each modality.
        model: with averaged weights.
        limits: what the model was trained on; None allows everything.
        training: steps, settings and figures of its training as plain values, for the model card.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> "MoTPipeline":
        if args and isinstance(args[0], str | Path):
            raise TypeError(f"MoTPipeline has the path {str(args[0])!r}, did you mean MoTPipeline.from_pretrained?")
        return super().__new__(cls)

    def to(self, device: torch.device | str) -> "MoTPipeline":
        """Move the model to a device; codecs stay on the host."""
        self.model.to(device)
        return self

    def supports_guidance(self, name: str) -> bool:
        """Whether a modality was also trained unconditionally, as classifier-free guidance requires."""
        return self.limits is None or name in self.limits.unconditional

    def __call__(
        self, prompts: str | Sequence[Prompt], negative_prompt: Prompt | None = None, **settings: Any
    ) -> list[Document]:
        """Continue prompts.

        Args:
            prompts: each a text, a `Path`, an image of Pillow, a pair of (modality, media), or a list of these. Media
                are what `MediaType.coerce` takes, such as arrays and tensors of uint8, or of floats from 0 to 1. A
                single text is a list of one.
            negative_prompt: what guidance leads away from, for all prompts, in place of an empty document.
            settings: of `GenerationSettings`.

        Returns:
            The new segments of each prompt, as (modality, media). With `continue_final_segment`, the first one
            continues the prompt's last segment, and holds only what is new. A document that the model ends at once has
            none, and a logged line says so.

        Raises:
            ValueError: a setting or a prompt does not fit the model or its limits.
            TypeError: there is no setting of this name, or it has another type.
        """
        if "num_samples" in settings:
            raise TypeError("there is no setting 'num_samples', wanted each prompt as often: 2 * [prompt]")
        check_names(GenerationSettings, settings)
        if isinstance(prompts, str):
            prompts = [prompts]
        if not isinstance(prompts, Sequence):
            raise ValueError(f"prompts is of type {type(prompts).__name__}, wanted a list of prompts")
        documents = [self.encode(prompt, f"prompt {number}") for number, prompt in enumerate(prompts)]
        negative = self.encode(negative_prompt, "negative_prompt")
        resolved = self.with_guidance(GenerationSettings(**settings))
        self.check(documents, resolved, negative)
        continued = self.continue_segments(documents, resolved, negative_prompt=negative)
        warn_of_ended(continued)
        return [decode(self.codecs, segments) for segments in continued]

    def start(self, prompt: Prompt | None = None, negative_prompt: Prompt | None = None, **settings: Any) -> Session:
        """A document that prompts and continuations extend by turns; arguments are those of `__call__`.

        Its first round, `session()` or `session(more)`, reads the prompt. Each round returns its new segments.
        """
        check_names(GenerationSettings, settings)
        resolved = self.with_guidance(GenerationSettings(**settings))
        negative = self.encode(negative_prompt, "negative_prompt")
        self.check([], resolved, negative)

        def check(document: Sequence[Segment]) -> None:
            self.check([document], resolved, negative)

        generator = generator_for(resolved.seed, 0, device=next(self.model.parameters()).device)
        sampler = Sampler(self.model, resolved, [generator], negative_prompt=negative)
        return Session(self.codecs, sampler, check, self.encode(prompt))

    def encode(self, prompt: Prompt | None, name: str = "prompt") -> list[Segment]:
        """The segments of a prompt; none of None. Raises ValueError, with its name, if it does not fit the model."""
        return encode(self.codecs, read_prompt(self.codecs, self.model.grammar.control, prompt, name))

    def with_guidance(
        self, settings: GenerationSettings, by_modality: Mapping[str, float] | None = None
    ) -> GenerationSettings:
        """The settings with a guidance scale for each modality: given or default, overridden by `by_modality`."""
        grammar = self.model.grammar
        settings.check(grammar)
        if settings.guidance is None:
            bidirectional = [name for name in grammar.predicted if not grammar.causal[name]]
            guided = [name for name in bidirectional if self.supports_guidance(name)]
            settings = replace(settings, guidance=dict.fromkeys(guided, DEFAULT_GUIDANCE))
        scales = {name: settings.scale(name, grammar.causal[name]) for name in grammar.predicted}
        return replace(settings, guidance={**scales, **(by_modality or {})})

    def check(
        self,
        documents: Sequence[Sequence[Segment]],
        settings: GenerationSettings,
        negative_prompt: Sequence[Segment] = (),
    ) -> None:
        """Raises ValueError if settings or encoded prompts do not fit the model or its limits."""
        grammar, backbone = self.model.grammar, self.model.backbone.settings
        check_prompts(grammar, documents, settings, negative_prompt)
        most = settings.most_tokens(grammar)
        for number, document in enumerate(documents):
            backbone.check_length(f"the length of prompt {number} and what may follow", grammar.length(document) + most)
        if self.limits is not None:
            self.limits.check(grammar, documents, settings)
            self.limits.check_length("negative_prompt", grammar.length(negative_prompt))

    def continue_segments(
        self,
        documents: Sequence[Sequence[Segment]],
        settings: GenerationSettings,
        samples: Sequence[int] | None = None,
        progress: Progress | None = None,
        negative_prompt: Sequence[Segment] = (),
    ) -> list[list[Segment]]:
        """Continue encoded prompts by encoded segments, as `generation.generate` does."""
        return generate(self.model, documents, settings, samples, progress, negative_prompt)
