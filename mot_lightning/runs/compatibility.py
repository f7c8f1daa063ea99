"""Whether a checkpoint fits a module: equal weights by name and shape, equal codecs by fingerprint."""

import re
from collections.abc import Mapping
from typing import Any

from mot_lightning.codecs.base import Codec
from mot_lightning.config.recorded import plain
from mot_lightning.errors import ConfigError
from mot_lightning.runs.checkpoint import strip_prefix

# the only model setting that may change beside a checkpoint: the path of weights, which it identifies by their hash
MOVED = re.compile(r"model\.modalities\.(\w+)\.codec\.(?:init_args\.)?name_or_path")

PRETRAINED = "pretrained"  # the model setting that a checkpoint makes void: it has the weights itself


def check_codecs(codecs: Mapping[str, Codec], checkpoint: Mapping[str, Any]) -> None:
    """Raises ValueError if a checkpoint was trained with other codecs."""
    for name, codec in codecs.items():
        # as plain values, which are the same after JSON
        actual = plain(codec.fingerprint(strip_prefix(checkpoint["state_dict"], f"codecs.{name}.")))
        saved = plain(checkpoint.get("codecs", {}).get(name, actual))  # the checkpoint of a `CodecModule` has none
        for part, value in actual.items():
            if (before := saved.get(part)) != value:
                raise ValueError(f"codec of {name!r}: its {part} is {value}, wanted the checkpoint's {before}")


def check_names_and_shapes(weights: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raises ConfigError if the weights of a model are not those that its config makes."""
    for name in sorted({*weights, *expected}):
        seen, needed = (tuple(state[name].shape) if name in state else None for state in (weights, expected))
        if seen != needed:
            raise ConfigError(
                f"weight {name} is {'missing' if seen is None else f'of shape {seen}'}, wanted "
                f"{'none of this name' if needed is None else f'shape {needed}'}: weights and config do not fit"
            )


def check_weights(module: Any, checkpoint: Mapping[str, Any], name: str) -> None:
    """Raises ConfigError if a checkpoint is of another model, or was trained with other codecs.

    Args:
        name: of the checkpoint, in messages.
    """
    saved, expected = checkpoint["state_dict"], module.state_dict()
    tensors = [key for key in expected if not key.endswith("_extra_state")]  # extra state may be of any shape
    differ = sorted({*saved} ^ {*expected}) or [key for key in tensors if saved[key].shape != expected[key].shape]
    if differ:
        raise ConfigError(f"{name} is of another model: they differ in {differ[0]} and {len(differ) - 1} more")
    try:
        check_codecs(module.codecs, checkpoint)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
