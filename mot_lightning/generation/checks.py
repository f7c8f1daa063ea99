"""Whether encoded prompts and settings fit a model and each other. Knows shapes and names, not weights."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from mot_lightning.generation.settings import GenerationSettings
from mot_lightning.sequence import Grammar, Segment

PREDICTABLE = "a DataLoader of prompts: trainer.predict(module, DataLoader(prompts, batch_size=8, collate_fn=list))"


def check_prompts(
    grammar: Grammar,
    prompts: Sequence[Sequence[Segment]],
    settings: GenerationSettings,
    negative_prompt: Sequence[Segment] = (),
) -> None:
    """Raises ValueError if settings or prompts do not fit the modalities or each other."""
    settings.check(grammar)
    for segment in chain(*prompts, negative_prompt):
        grammar.check(segment)
    if settings.continue_final_segment:
        for number, prompt in enumerate(prompts):
            _check_open_end(grammar, number, prompt, settings.modalities)
    names = settings.modalities or grammar.predicted
    if negative_prompt and all(settings.scale(name, grammar.causal[name]) == 1 for name in names):
        raise ValueError(
            f"a negative_prompt is given, but guidance is 1 for {', '.join(sorted({*names}))}, "
            "wanted a higher scale: guidance leads away from it"
        )


def _check_open_end(grammar: Grammar, number: int, prompt: Sequence[Segment], modalities: Sequence[str]) -> None:
    """Raises ValueError if a prompt's final segment cannot be continued."""
    names = [name for name in grammar.names if grammar.stop(name) is not None]
    wanted_end = f"a final segment of {' or '.join(names)}: continue_final_segment goes on in it"
    if not prompt:
        raise ValueError(f"prompt {number} is empty, wanted {wanted_end}")
    name = prompt[-1].modality
    if name not in names:
        raise ValueError(f"prompt {number} ends with {name}, wanted {wanted_end}")
    if modalities and modalities[0] != name:
        raise ValueError(f"modalities begins with {modalities[0]}, wanted {name}, which prompt {number} ends with")


def check_batch(batch: Any) -> None:
    """Raises TypeError if a batch of `Trainer.predict` is not a list of prompts."""
    if type(batch) not in (list, tuple):  # a named tuple is a batch of training
        raise TypeError(f"trainer.predict has a batch of type {type(batch).__name__}, wanted {PREDICTABLE}")
