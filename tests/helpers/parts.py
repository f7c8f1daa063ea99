"""Towers and objectives that learn differently, and the weights of each."""

from mot_lightning.training.part_settings import PartSettings

FROZEN, LEARNING = PartSettings(freeze=True), PartSettings()
TWO = {"words": ["text"], "perception": ["image", "speech"]}


def names_of(model, modality):
    """The names of all weights of a modality in its tower, and in its objective."""
    ids = {id(p) for module in model.backbone.weights_of(modality) for p in module.parameters()}
    tower = {name for name, weight in model.named_parameters() if id(weight) in ids}
    return tower, {name for name, _ in model.named_parameters() if name.startswith(f"objectives.{modality}.")}
