"""A session: one document that prompts and continuations extend by turns, with its cache kept in between."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from mot_lightning.codecs import Codec
from mot_lightning.config.types import check_names
from mot_lightning.generation.context import Context
from mot_lightning.generation.generate import inference, trainable
from mot_lightning.generation.prefill import extend
from mot_lightning.generation.prompts import Document, Prompt, decode, encode, read_prompt, warn_of_ended
from mot_lightning.generation.sampler import Sampler
from mot_lightning.generation.settings import GenerationSettings
from mot_lightning.sequence import Segment


class Session:
    """A document that grows in rounds; what was said is not read again.

    Args:
        sampler: of one sequence; its settings are those of every round, its generator goes on from round to round.
        check: called before a round with all segments that it reads; raises ValueError if they do not fit.
        prompt: of the first round.

    Attributes:
        segments: of the document so far.
    """

    def __init__(
        self,
        codecs: Mapping[str, Codec],
        sampler: Sampler,
        check: Callable[[Sequence[Segment]], Any],
        prompt: Sequence[Segment] = (),
    ) -> None:
        self.codecs, self.sampler, self.check = codecs, sampler, check
        self.segments: list[Segment] = []
        self.unread = list(prompt)
        self.context = Context(sampler.model.backbone, 1)
        if self.unread:
            check(self.unread)

    def __call__(self, more: Prompt | None = None, **misplaced: Any) -> Document:
        """Read more of a prompt, then continue the document; returns the new segments as (modality, media).

        There are none if the model ends the document, which logs a line that says so.

        A round that fails changes nothing but the state of the random generator.

        Raises:
            ValueError: `more` does not fit the model, or there is nothing in it to continue.
            TypeError: a setting is given, which `MoTPipeline.start` takes for all rounds.
        """
        if misplaced:
            check_names(GenerationSettings, misplaced.keys() - {"prompt", "negative_prompt"})
            name = next(iter(misplaced))
            raise TypeError(f"{name} is given to a round, wanted in start(): all rounds of a session share it")
        model, settings = self.sampler.model, self.sampler.settings
        said = [*self.unread, *encode(self.codecs, read_prompt(self.codecs, model.grammar.control, more))]
        if settings.continue_final_segment and not said:
            raise ValueError("the round has no prompt, wanted a segment to continue: continue_final_segment is set")
        self.check([*self.segments, *said])
        with inference(model):
            context = self.context[[0]]  # a copy
            extend(model, context, [said], settings.continue_final_segment)
            opened = said[-1:] if settings.continue_final_segment else []
            (continued,) = self.sampler(context, opened, more_follow=True)
        continued = trainable(continued)
        whole = continued
        if opened:  # one segment of the document, in two parts
            ids = torch.cat([opened[0].tokens, continued[0].tokens.to(opened[0].tokens.device)])
            said, whole = said[:-1], [opened[0]._replace(tokens=ids), *continued[1:]]
        answer = decode(self.codecs, continued)
        warn_of_ended([answer])
        self.context, self.segments, self.unread = context, [*self.segments, *said, *whole], []
        return answer
