"""Weights and codecs of a checkpoint as the start of another run, with any other settings: fine-tuning."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mot_lightning.errors import ConfigError
from mot_lightning.runs.checkpoint import strip_prefix
from mot_lightning.sequence import Grammar
from mot_lightning.sequence.grammar import control_roles


def restore_codecs(module: Any, checkpoint: Mapping[str, Any]) -> None:
    """Take what the codecs learned from a checkpoint of the same model, so that they are not fitted again."""
    for name, codec in module.codecs.items():
        codec.load_state_dict(strip_prefix(checkpoint["state_dict"], f"codecs.{name}."))
        module.fitted_codecs.add(name)


def initialise_from(module: Any, checkpoint: Mapping[str, Any]) -> list[str]:
    """Start a module from a checkpoint's averaged weights, and from those of its codecs that are the same.

    Returns:
        The weights of the model that keep their random start: the checkpoint has none of this name and shape.

    Raises:
        ConfigError: the checkpoint has no weight of this model.
    """
    saved = checkpoint["state_dict"]
    for name, codec in module.codecs.items():
        learned = strip_prefix(saved, f"codecs.{name}.")
        if checkpoint["codecs"].get(name) == codec.fingerprint(learned):  # also of the same pretrained weights
            codec.load_state_dict(learned)
            module.fitted_codecs.add(name)
    averaged = strip_prefix(saved, "ema_model.")
    expected = module.model.state_dict()
    fits = {name: x for name, x in averaged.items() if name in expected and x.shape == expected[name].shape}
    if module.model.grammar.control in module.fitted_codecs:
        fits |= _tables(module.model.grammar, averaged, expected, sorted(checkpoint["config"]["model"]["modalities"]))
    if not fits:
        raise ConfigError("--init_from has no weight of this model, wanted a checkpoint of a similar one")
    for model in (module.model, module.ema_model):
        model.load_state_dict(fits, strict=False)
    return sorted({*expected} - {*fits})


def _tables(
    grammar: Grammar, saved: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], modalities: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Tables of the control modality whose control ids differ: the rows of all ids that both have.

    Args:
        modalities: of the checkpoint, sorted, in the order of their control ids.
    """
    objective, first = f"objectives.{grammar.control}.", grammar.end_of_document
    alone = control_roles([grammar.control])  # whose rows are a table of their own where control ids are decoupled
    new, old = control_roles(grammar.names), control_roles(modalities)
    tables = {}
    for name, table in expected.items():
        start = saved.get(name)
        if not name.startswith(objective) or start is None or not table.dim() or start.shape[1:] != table.shape[1:]:
            continue
        if new == old and len(start) == len(table):
            continue
        if name == f"{objective}control.others.weight":
            rows = _matching([id for id in new if id not in alone], [id for id in old if id not in alone])
        elif name == f"{objective}control.head.weight":
            rows = _matching(new, old)
        elif len(table) == grammar.ids(grammar.control):
            content = {row: row for row in range(first)}
            rows = content | {first + row: first + saved_row for row, saved_row in _matching(new, old).items()}
        else:
            continue
        tables[name] = table.clone().index_copy(0, torch.tensor([*rows]), start[[*rows.values()]].to(table))
    return tables


def _matching(new: Sequence[str], old: Sequence[str]) -> dict[int, int]:
    """The row of each id that both have, and its saved row."""
    return {row: old.index(id) for row, id in enumerate(new) if id in old}
