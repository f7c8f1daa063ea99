"""Which weights of a model are of which tower or objective, and the settings that they follow."""

from collections.abc import Mapping
from typing import NamedTuple

from mot_lightning.backbone.tower import MODULES
from mot_lightning.backbone.towers import tower_members
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.training.part_settings import COMMON, PartSettings


class Part(NamedTuple):
    """What a weight belongs to: `tower/<name>` or `objective/<modality>`."""

    name: str
    settings: PartSettings


def parts_by_weight(
    model: MixtureOfTransformers, towers: Mapping[str, PartSettings], objectives: Mapping[str, PartSettings]
) -> dict[int, Part]:
    """The part of each weight by its id; weights that follow the common settings are left out.

    An objective without settings follows the tower of its modality. Weights that towers share follow the settings that
    all of these towers have, and the common ones if they differ; so do `never_frozen` weights of a frozen objective.

    Raises:
        ValueError: there is no such tower or objective, or a frozen tower shares weights with one that learns.
    """
    backbone, parts = model.backbone, dict[int, Part]()
    members = tower_members(backbone.settings.towers, backbone.modalities)
    _check_names("towers", towers, members)
    _check_names("objectives", objectives, model.objectives)
    users: dict[int, dict[str, PartSettings]] = {}  # towers that a weight belongs to, and their settings
    for tower in sorted(members):
        settings = towers.get(tower, COMMON)
        for modality in members[tower]:
            for module in backbone.weights_of(modality):
                for weight in module.parameters():
                    users.setdefault(id(weight), {})[tower] = settings
            of_objective = objectives.get(modality)
            part = Part(f"tower/{tower}", settings)
            part = Part(f"objective/{modality}", of_objective) if of_objective else part
            objective = model.objectives[modality]
            learned = {id(weight) for weight in objective.never_frozen()} if part.settings.freeze else set()
            parts |= dict.fromkeys({id(weight) for weight in objective.parameters()} - learned, part)
    for path, weight in backbone.named_parameters():
        _check_frozen_together(path, users[id(weight)])
        tower, settings = next(iter(users[id(weight)].items()))
        shared_alike = len({*users[id(weight)].values()}) == 1
        parts[id(weight)] = Part(f"tower/{tower}", settings if shared_alike else COMMON)
    return {weight: part for weight, part in parts.items() if part.settings != COMMON}


def freeze(model: MixtureOfTransformers, parts: Mapping[int, Part]) -> None:
    """Turn off the gradients of a model's frozen parts.

    Raises:
        ValueError: nothing is left to learn.
    """
    for weight in model.parameters():
        if id(weight) in parts and parts[id(weight)].settings.freeze:
            weight.requires_grad_(False)
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ValueError("model.optimizer freezes all weights, wanted a tower or an objective that learns")


def _check_names(setting: str, names: Mapping[str, PartSettings], known: Mapping[str, object]) -> None:
    for name in names:
        if name not in known:
            choices = f"wanted {setting} among {', '.join(sorted(known))}"
            raise ValueError(f"model.optimizer.{setting} has {name!r}, {choices}")


def _check_frozen_together(path: str, users: Mapping[str, PartSettings]) -> None:
    """Raises ValueError if only some of the towers that share a weight are frozen."""
    frozen = [tower for tower, settings in users.items() if settings.freeze]
    learning = [tower for tower, settings in users.items() if not settings.freeze]
    if frozen and learning:
        shared = next((part for part, names in MODULES.items() if {*path.split(".")} & {*names}), "norm")
        raise ValueError(
            f"model.optimizer.towers.{frozen[0]}.freeze is true, but {frozen[0]} shares {shared} with {learning[0]}: "
            f"wanted backbone.untie with {shared} in all layers, or {learning[0]} frozen too"
        )
