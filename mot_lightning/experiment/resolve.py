"""Merges config files and flags into one config, with full class names and absolute paths.

Knows how configs are written; the meaning of a setting is left to the class that takes it.
"""

import copy
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mot_lightning.config.classes import (
    check_arguments,
    check_classes,
)
from mot_lightning.config.files import parse_value, read_default, read_layers
from mot_lightning.config.hints import did_you_mean
from mot_lightning.config.merge import Override, as_list, diff, flatten_keys, merge, unflatten
from mot_lightning.config.paths import absolute
from mot_lightning.errors import ConfigError, say
from mot_lightning.experiment.class_specs import Config, callback_spec, check_mapping, class_spec
from mot_lightning.experiment.locations import locate_trainer, without_locations
from mot_lightning.experiment.metric_specs import metric_specs, without_metrics_of_absent
from mot_lightning.experiment.pretrained import spelled_out, with_language_models
from mot_lightning.modality import Modality
from mot_lightning.runs.compatibility import MOVED, PRETRAINED

# environment variables such as PL_TRAINER__MAX_STEPS, as in any LightningCLI; Lightning has others that begin with PL_
ENVIRONMENT = re.compile(r"PL_(MODEL|DATA|TRAINER|SEED|EXPERIMENT|RUNS|SAMPLES|REPORT)(__\w+)?")
RESERVED = ("plugins", "default_root_dir", "barebones")


def resolve(
    configs: Sequence[Path],
    settings: Sequence[tuple[str, str]],
    allow: Sequence[str] = (),
    checkpoint_config: Config | None = None,
    may_change: bool = False,
) -> Config:
    """The config of a command line.

    Args:
        configs: files, each merged over those before it; the first over its base.
        settings: (dotted name, text of the value), merged over the files.
        allow: packages whose classes may be named, besides ours.
        checkpoint_config: of a checkpoint, merged under all of these.
        may_change: whether they may change the model of the checkpoint: its weights are only a start.

    Raises:
        ConfigError: a file, a name or a value that does not fit.
    """
    layers = [*_from_files(configs), *_from_environment(), *_from_flags(settings)]
    if checkpoint_config is None:
        config = read_default()
    else:
        config = without_locations({name: x for name, x in checkpoint_config.items() if name != "base"}, allow)
        config.get("model", {}).pop(PRETRAINED, None)
        if not may_change:
            _check_unchanged(layers)
    base, named = config, {*_modalities(config)}
    for layer in with_language_models(config, layers):
        if layer is None:  # a config that builds on nothing
            config, named = {}, set()
            continue
        config = merge(config, layer)
        named |= {*_modalities(config)}
    absent = named - {*_modalities(config)}
    config = without_metrics_of_absent(_without_towers_of_absent(config, absent), absent)
    if checkpoint_config is not None:
        for section in ("data", "model"):
            for line in diff(base.get(section), config.get(section), section):
                say(line)
    return _spell_out(config, allow)


def _from_files(paths: Sequence[Path]) -> list[Config | None]:
    layers: list[Config | None] = []
    for path in paths:
        below = read_layers(path)
        if layers and not below.on_default:
            raise ConfigError(f"--config {path} has base: null, which drops the config before it: wanted it first")
        layers += below.configs if below.on_default else [None, *below.configs]
    return layers


def _from_environment() -> list[Config]:
    variables = {name: text for name, text in sorted(os.environ.items()) if ENVIRONMENT.fullmatch(name)}
    for name, text in variables.items():
        if not text:
            raise ConfigError(f"{name} has no value, wanted one, or null")
    return [
        unflatten(name.removeprefix("PL_").lower().replace("__", "."), parse_value(text))
        for name, text in variables.items()
    ]


def _from_flags(settings: Sequence[tuple[str, str]]) -> list[Config]:
    layers = []
    for name, text in settings:
        value = parse_value(text)
        # a mapping on a flag replaces the old one; in a file, it would merge
        layers.append(unflatten(name, Override(value) if isinstance(value, dict) else value))
    return layers


def _check_unchanged(layers: Sequence[Config | None]) -> None:
    if None in layers:
        raise ConfigError("base is null, wanted a config of data and trainer settings beside a checkpoint")
    for name in (name for layer in layers for name in flatten_keys(layer)):
        if (section := name.partition(".")[0]) in ("model", "seed") and not MOVED.fullmatch(name):
            raise ConfigError(
                f"{name.replace('.init_args', '')} is set, but the checkpoint determines {section}: leave it out of "
                "flags and configs, or train on with fit --init_from"
            )


def _modalities(config: Config) -> Config:
    """The settings of all modalities. Raises ConfigError if they are not a mapping."""
    part: Any = config
    for path in ("model", "model.modalities"):
        part = part.get(path.rpartition(".")[2], {})
        check_mapping(path, part)
    return part


def _check_values(value: Any, path: str = "") -> None:
    """Raises ConfigError for what libraries would refuse without a name: numbers beyond 64 bits, and empty keys."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if key == "":
                where = path.replace(".init_args", "") or "the config"
                raise ConfigError(f"{where} has a setting without a name: {str(value)[:60]}")
            _check_values(item, f"{path}.{key}".strip("."))
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ConfigError(f"{path.replace('.init_args', '')} is {value}, wanted a number of 64 bits")


def _without_towers_of_absent(config: Config, absent: set[str]) -> Config:
    """Remove modalities that a later layer dropped from the backbone, so that one config serves all recipes."""
    backbone = config.get("model", {}).get("backbone", {})
    check_mapping("model.backbone", backbone)
    changes: Config = {}
    for setting in ("towers", "sees"):
        lists = backbone.get(setting)
        if isinstance(lists, dict) and all(isinstance(_names(tower), list) for tower in lists.values()):
            changes[setting] = {key: _without(tower, absent) for key, tower in lists.items()}
    if isinstance(backbone.get("insulate"), list):
        changes["insulate"] = [name for name in backbone["insulate"] if name not in absent]
    if not absent or not changes:
        return config
    config = merge(config, {"model": {"backbone": changes}})
    for name in absent & {*changes.get("sees", {})}:  # its keys are modalities, too
        del config["model"]["backbone"]["sees"][name]
    return config


def _names(tower: Any) -> Any:
    """The modalities of a tower, which is a list of them, or has one beside its size."""
    return tower.get("modalities") if isinstance(tower, dict) else tower


def _without(tower: Any, absent: set[str]) -> Any:
    names = [name for name in _names(tower) if name not in absent]
    return {**tower, "modalities": names} if isinstance(tower, dict) and names else names


def _spell_out(config: Config, allow: Sequence[str]) -> Config:
    """Fill in full class names, codec arguments that follow from the data, and absolute paths."""
    config = copy.deepcopy(config)
    _check_values(config)
    trainer = config.get("trainer", {})
    check_mapping("trainer", trainer)
    seed = config.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"seed is {seed!r}, wanted a whole number of 0 or more")
    for name in RESERVED:
        if name in trainer:
            raise ConfigError(f"trainer.{name} cannot be set: the run folder, checkpoints and resumption depend on it")
    data_class, config["data"] = class_spec("data", config.get("data"), allow)
    if not hasattr(data_class, "codec_settings"):
        raise ConfigError(f"data is {data_class.__name__}, wanted a datamodule")
    from_data = data_class.codec_settings(**config["data"]["init_args"])
    config["trainer"], model = trainer, config.setdefault("model", {})
    if "codec" in model:  # only the codec is trained
        if from_data and model.get("modality") not in from_data:
            raise ConfigError(f"model.modality is {model.get('modality')!r}, wanted one of {', '.join(from_data)}")
        _, model["codec"] = class_spec("model.codec", model["codec"], allow, from_data.get(str(model.get("modality"))))
    for key in ("seed_everything", "model.seed", "data.init_args.seed"):
        if key in flatten_keys(config):
            raise ConfigError(f"{key.replace('.init_args', '')} is set, wanted seed: one for weights, data and noise")
    if model.get(PRETRAINED) is not None:
        model[PRETRAINED] = spelled_out(model[PRETRAINED])
    optimizer = model.get("optimizer")
    for name in ("algorithm", "schedule") if isinstance(optimizer, dict) else ():
        if isinstance(optimizer.get(name), str) and "." in optimizer[name]:
            optimizer[name] = {"class_path": optimizer[name]}
    if isinstance(config.get("runs"), str):
        config["runs"] = str(absolute(config["runs"], "runs"))
    locate_trainer(trainer, allow)
    if trainer.get("callbacks"):
        trainer["callbacks"] = [callback_spec(spec, allow) for spec in as_list(trainer["callbacks"])]
    seen_as = config["data"]["init_args"].get("seen_as") or {}
    for name in [*seen_as, *seen_as.values()] if "codec" not in model else ():
        if name not in _modalities(config):
            raise ConfigError(f"data.seen_as names {name!r}, wanted some of {', '.join(sorted(_modalities(config)))}")
    for name, modality in _modalities(config).items():
        path = f"model.modalities.{name}"
        if modality is not None:
            check_mapping(path, modality)
        if not {"codec", "objective"} <= set(modality or {}):
            hint = did_you_mean(name, _modalities(config))
            raise ConfigError(f"there is no modality {name!r} (a new one needs a codec and an objective){hint}")
        check_arguments(path, Modality, modality)
        for role, known in (("codec", from_data.get(name)), ("objective", None)):
            _, modality[role] = class_spec(f"model.modalities.{name}.{role}", modality[role], allow, known)
    metric_specs(config.get("report"), _modalities(config), allow)
    check_classes(config, allow)
    return config
