"""Weights and codecs of a checkpoint as the start of another run, with any other settings: fine-tuning."""

from collections.abc import Mapping
from typing import Any

import torch

from mot_lightning.errors import ConfigError


def initialise_from(module: Any, checkpoint: Mapping[str, Any]) -> list[str]:
    """Start a module from a checkpoint's averaged weights, and from those of its codecs that are the same.

    Returns:
        The weights of the model that keep their random start: the checkpoint has none of this name and shape.

    Raises:
        ConfigError: the checkpoint has no weight of this model.
    """
    saved = checkpoint["state_dict"]
    for name, codec in module.codecs.items():
        learned = _of(saved, f"codecs.{name}.")
        if checkpoint["codecs"].get(name) == codec.fingerprint(learned):  # also of the same pretrained weights
            codec.load_state_dict(learned)
            module.fitted_codecs.add(name)
    averaged = _of(saved, "ema_model.")
    expected = module.model.state_dict()
    fits = {name: x for name, x in averaged.items() if name in expected and x.shape == expected[name].shape}
    if not fits:
        raise ConfigError("--init_from has no weight of this model, wanted a checkpoint of a similar one")
    for model in (module.model, module.ema_model):
        model.load_state_dict(fits, strict=False)
    return sorted({*expected} - {*fits})


def _of(weights: Mapping[str, Any], prefix: str) -> dict[str, torch.Tensor]:
    """The entries of a state dict that begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
