"""The command line: which command, which config, and LightningCLI to build what it names.

Knows how a run is put together; what a setting means is known to the class that takes it.
"""

import copy
import inspect
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

import yaml

from mot_lightning.arguments import Arguments, split_arguments
from mot_lightning.config import (
    ConfigError,
    changes,
    default_config,
    did_you_mean,
    find_class,
    leaves,
    merge,
    nested,
    parse_value,
    read_yaml,
)
from mot_lightning.help import COMMANDS, USAGE, help_page

MOVED = re.compile(r"model\.modalities\.\w+\.codec\.(init_args\.)?name_or_path")  # weights that a checkpoint knows


def build_config(arguments: Arguments, base: dict[str, Any], from_checkpoint: bool) -> dict[str, Any]:
    """The base with every --config and then every --key=value laid over it.

    Raises:
        ConfigError: a model setting beside a checkpoint, other than the place of a codec's weights, or an unknown class
            or modality.
    """
    layers = [read_yaml(path) for path in arguments.configs]
    for name, text in arguments.settings:
        if (value := parse_value(text)) == {}:  # merged with what is there
            raise ConfigError(f"--{name} is {{}}, which changes nothing: wanted a mapping of settings, or null")
        layers.append(nested(name, value))
    if from_checkpoint:
        for name in (name for layer in layers for name in leaves(layer)):
            if (first := name.partition(".")[0]) in ("model", "seed") and not MOVED.fullmatch(name):
                raise ConfigError(
                    f"the checkpoint settles {first}, which cannot be changed: leave {first} out of flags and configs"
                )
    config = base
    for layer in layers:
        for name in ("model", "model.modalities"):
            part: Any = layer
            for key in name.split("."):
                part = part.get(key, {}) if isinstance(part, dict) else {}
            if not isinstance(part, dict):
                raise ConfigError(f"{name} is {'null' if part is None else repr(part)}, wanted a mapping of settings")
        for name, what in ((layer.get("model") or {}).get("modalities") or {}).items():
            known = config["model"].get("modalities", {})
            if name not in known and not (isinstance(what, dict) and {"codec", "objective"} <= set(what)):
                close = did_you_mean(name, known)
                raise ConfigError(f"there is no modality {name!r}{close}; a new one needs a codec and an objective")
        if _trains_codec(layer) and not _trains_codec(config):
            config = {**config, "model": {}}  # a codec is trained in place of a model
        config = merge(config, layer)
    config = _without_towers_of_the_absent(config, base)
    if from_checkpoint:
        for section in ("data", "model"):
            for line in changes(base.get(section), config.get(section), section):
                print(line)
    return config


def _without_towers_of_the_absent(config: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """A modality of the base that was left out leaves its tower, too: one baseline's file serves all recipes."""
    model = config.get("model") or {}
    towers = (model.get("backbone") or {}).get("towers")
    gone = {*base.get("model", {}).get("modalities", {})} - {*model.get("modalities", {})}
    if not gone or not isinstance(towers, dict) or not all(isinstance(own, list) for own in towers.values()):
        return config
    left = {name: [member for member in own if member not in gone] for name, own in towers.items()}
    return merge(config, {"model": {"backbone": {"towers": left}}})


def _trains_codec(config: dict[str, Any]) -> bool:
    return "codec" in (config.get("model") or {})


def _class_spec(name: str, spec: Any) -> dict[str, Any]:
    """A class with its arguments, from its name or a mapping."""
    found = {"class_path": spec} if isinstance(spec, str) else spec
    if not isinstance(found, dict) or not isinstance(found.get("class_path"), str):
        raise ConfigError(f"{name} is {spec!r}, wanted the name of a class")
    return {**found, "init_args": dict(found.get("init_args") or {})}


def settle(config: dict[str, Any], allow: list[str]) -> dict[str, Any]:
    """Spell out what follows: class paths in full, codec arguments that the data settle, seeds.

    Raises:
        ConfigError: a class that does not exist or is not allowed.
    """
    config = copy.deepcopy(config)
    for name, part in (("model", config.get("model")), ("trainer", config.get("trainer"))):
        if not isinstance(part, dict):
            raise ConfigError(f"{name} is {part!r}, wanted a mapping of settings")
    if not isinstance(config.get("seed", 0), int) or config.get("seed", 0) < 0:
        raise ConfigError(f"seed is {config['seed']!r}, wanted a whole number of 0 or more")
    for name in ("logger", "plugins", "default_root_dir", "limit_train_batches", "fast_dev_run"):
        if name in config["trainer"]:
            raise ConfigError(f"trainer.{name} is settled here: the run folder, checkpoints and resumption rest on it")
    steps, interval = config["trainer"].get("max_steps"), config["trainer"].get("val_check_interval")
    if isinstance(steps, int) and isinstance(interval, int) and 0 < steps < interval:
        config["trainer"]["val_check_interval"] = steps  # one validation at least
    data = _class_spec("data", config.get("data"))
    data_class: Any = find_class(data["class_path"], allow)
    if not hasattr(data_class, "codec_settings"):
        raise ConfigError(f"data is {data_class.__name__}, wanted a datamodule")
    for name, value in data.get("init_args", {}).items():
        if name.endswith("_root") and isinstance(value, str):  # a checkpoint is read from any directory
            data["init_args"][name] = str(Path(value).resolve())
    data["class_path"] = f"{data_class.__module__}.{data_class.__qualname__}"
    seed = config.get("seed", 0)
    data["init_args"] = {"seed": seed, **data.get("init_args", {})}
    config["data"] = data
    config["model"] = {"seed": seed, **config["model"]}
    settled = data_class.codec_settings(**{k: v for k, v in data["init_args"].items() if k != "seed"})
    if _trains_codec(config):
        part = config["model"]
        if settled and part.get("modality") not in settled:
            raise ConfigError(f"model.modality is {part.get('modality')!r}, wanted one of {', '.join(settled)}")
        part["codec"] = _settle_class("model.codec", part["codec"], allow, settled.get(str(part.get("modality")), {}))
        return config
    for name, modality in config["model"]["modalities"].items():
        if not isinstance(modality, dict):
            raise ConfigError(f"model.modalities.{name} is {modality!r}, wanted codec, objective and weight")
        for role, known in (("codec", settled.get(name, {})), ("objective", {})):
            if role not in modality:
                raise ConfigError(f"model.modalities.{name} has no {role}")
            modality[role] = _settle_class(f"model.modalities.{name}.{role}", modality[role], allow, known)
    return config


def _settle_class(name: str, spec: Any, allow: list[str], known: dict[str, Any]) -> dict[str, Any]:
    """A class in full, with what is known of its arguments, where it takes them; its folder found from anywhere."""
    spec = _class_spec(name, spec)
    found = find_class(spec["class_path"], allow)
    takes = inspect.signature(found).parameters
    arguments = {**{k: v for k, v in known.items() if k in takes}, **spec["init_args"]}
    folder = arguments.get("name_or_path")
    if isinstance(folder, str) and Path(folder).exists():
        arguments["name_or_path"] = str(Path(folder).resolve())
    scheduler = arguments.get("scheduler")
    if isinstance(scheduler, dict) and "." not in str(scheduler.get("class_path", ".")):  # the parser wants it whole
        arguments["scheduler"] = {**scheduler, "class_path": f"diffusers.{scheduler['class_path']}"}
    spec = {**spec, "class_path": f"{found.__module__}.{found.__qualname__}", "init_args": arguments}
    return spec if arguments else {k: v for k, v in spec.items() if k != "init_args"}


def fail(message: str) -> NoReturn:
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    raise SystemExit(2)


def main(argv: list[str] | None = None) -> None:
    """Run a command; bad input ends it with one line and exit code 2, before any work."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE.format(commands="\n".join(f"  {name:<10} {what}" for name, what in COMMANDS.items())))
        return
    try:
        arguments = split_arguments(argv)
        if arguments.flags & {"-h", "--help"}:
            print(help_page(arguments.command))
            return
        prepare_and_run(arguments)
    except ConfigError as error:
        fail(str(error))
    except KeyboardInterrupt:  # before a command could take note of signals
        print("\nstopped by SIGINT", file=sys.stderr)
        raise SystemExit(128 + 2) from None


def prepare_and_run(arguments: Arguments) -> None:
    if "--help-all" in arguments.flags:
        from mot_lightning.help_all import print_every_setting

        print_every_setting()
        return
    given = arguments.pop("ckpt_path")
    path = Path(given[-1]) if given else None
    if path is None and arguments.command != "fit":
        raise ConfigError(f"{arguments.command} needs --ckpt_path, a checkpoint to read model, codecs and data from")
    options = {}
    if arguments.command == "generate":
        from mot_lightning.generation.command import take_options

        options = take_options(arguments)
    checkpoint = None
    if path:
        from mot_lightning.loading import read_checkpoint

        checkpoint = read_checkpoint(path)
    base = checkpoint["config"] if checkpoint else read_yaml(default_config())
    config = settle(build_config(arguments, base, checkpoint is not None), arguments.allow)
    if "--print_config" in arguments.flags:
        print(yaml.safe_dump(config, sort_keys=False), end="")
        return

    from mot_lightning import commands

    commands.run(arguments.command, config, arguments.allow, checkpoint, path, options)
