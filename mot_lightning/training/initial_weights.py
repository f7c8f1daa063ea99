"""Weights and codecs of a checkpoint as the start of another run, with any other settings: fine-tuning."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mot_lightning.errors import ConfigError
from mot_lightning.runs.checkpoint import strip_prefix
from mot_lightning.sequence import Grammar


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
    """Tables of the control modality whose number of control ids differs: the rows of all ids that both have.

    Args:
        modalities: of the checkpoint, sorted, in the order of their control ids.
    """
    first = grammar.end_of_document  # the control ids follow, as in `Grammar`
    rows = {id: id for id in range(first + 1)}  # new id -> saved id
    for i, name in enumerate(modalities):
        if name in grammar.begin:
            rows |= {grammar.begin[name]: first + 1 + 2 * i, grammar.end[name]: first + 2 + 2 * i}
    new_ids, saved_ids = torch.tensor([*rows]), torch.tensor([*rows.values()])
    tables = {}
    for name, table in expected.items():
        old = saved.get(name)
        of_ids = name.startswith(f"objectives.{grammar.control}.") and len(table) == grammar.ids(grammar.control)
        if of_ids and old is not None and len(old) != len(table) and old.shape[1:] == table.shape[1:]:
            tables[name] = table.clone().index_copy(0, new_ids, old[saved_ids].to(table))
    return tables
