"""The command line: which command, which config, and LightningCLI to build what it names.

Knows how a run is put together; what a setting means is known to the class that takes it.
"""

import inspect
import logging
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from mot_lightning.config import (
    ConfigError,
    changes,
    default_config,
    did_you_mean,
    find_class,
    merge,
    nested,
    parse_value,
    read_yaml,
)

COMMANDS = {
    "fit": "train, then measure and show",
    "validate": "losses of a checkpoint on the validation split",
    "test": "losses and cross-modal tasks of a checkpoint on the test split",
    "generate": "continue a prompt of text, images and sounds",
}

USAGE = """usage: python -m mot_lightning COMMAND [options]

commands:
{commands}

python -m mot_lightning COMMAND --help   says more"""

HELP = """usage: python -m mot_lightning {command} [options]

{about}.

{lead}
  --config FILE            says only what differs from {base}; may be given again
  --KEY=VALUE              any setting, by its dotted name:
{settings}
  --allow PACKAGE          lets class_path name classes of this package
  --print_config           shows the whole config and stops
  --help-all               every setting with its type and default
  --help                   this page
"""

FIT_SETTINGS = (
    ("--model.modalities.image.objective=Diffusion", "swap one objective (FlowMatching, Diffusion, NextToken)"),
    ("--model.modalities.image.weight=5", "its weight in the loss"),
    ("--model.modalities.speech=null", "leave a modality out"),
    ("--model.backbone.dim=256", "width; also depth, heads, ffn_dim, dropout, towers"),
    ("--model.optimization.learning_rate=1e-3", "also warmup, weight_decay, ema"),
    ("--data.batch_size=64", "documents in a batch; also image_root, speech_root"),
    ("--trainer.max_steps=3000", "and whatever else Lightning's Trainer takes"),
    ("--report.guidance=3", "classifier-free guidance of the guided figures"),
    ("--seed=1", "of weights, data and noise"),
    ("--experiment=NAME", "the run folder is runs/NAME/0, 1, 2, ..."),
)
CHECKPOINT_SETTINGS = (
    ("--data.batch_size=64", "data may differ from the run's; model settings may not"),
    ("--trainer.accelerator=gpu", "and whatever else Lightning's Trainer takes"),
)
GENERATE_OPTIONS = """  --prompt TEXT_OR_FILE    text, or the path of an image or a sound; given again, the next
                           segment of the same document; without one the model begins by itself
  --modalities a,b         the segments to make, in this order; the model chooses when absent
  --num_samples N          continuations of the prompt (1)
  --guidance G             classifier-free guidance scale of images (2)
  --temperature T          of text and units and of the choice of modality; 0 takes the likeliest (0.7)
  --top_p P                share of the probability that is sampled from (0.95)
  --max_segments N         the most segments that the model may choose (4)
  --out FOLDER             where text, PNG and WAV go (beside the checkpoint's run)
"""


@dataclass
class Arguments:
    """A command line, split but not understood."""

    command: str
    configs: list[Path] = field(default_factory=list)
    allow: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    settings: list[tuple[str, str]] = field(default_factory=list)

    def pop(self, name: str) -> list[str]:
        """All values given to an option, which is then no longer a setting."""
        values = [value for key, value in self.settings if key == name]
        self.settings = [(key, value) for key, value in self.settings if key != name]
        return values


def split_arguments(argv: list[str]) -> Arguments:
    """Split a command line.

    Raises:
        ConfigError: no such command, or an option without a value.
    """
    command, *rest = argv
    if command not in COMMANDS:
        raise ConfigError(
            f"there is no command {command!r}{did_you_mean(command, COMMANDS)}; wanted one of {', '.join(COMMANDS)}"
        )
    arguments = Arguments(command)
    words = iter(rest)
    for word in words:
        if word in ("-h", "--help", "--help-all", "--print_config"):
            arguments.flags.add(word)
            continue
        if not word.startswith("--"):
            raise ConfigError(f"{word!r} is not an option, wanted --name=value")
        name, equals, value = word[2:].partition("=")
        if not equals:
            following = next(words, None)
            if following is None:
                raise ConfigError(f"--{name} has no value")
            value = following
        if name == "config":
            arguments.configs.append(Path(value))
        elif name == "allow":
            arguments.allow.append(value)
        else:
            arguments.settings.append((name, value))
    return arguments


def help_page(command: str) -> str:
    settings = FIT_SETTINGS if command == "fit" else CHECKPOINT_SETTINGS
    lead = "  --ckpt_path FILE         " + (
        "go on from a checkpoint, in a new run folder"
        if command == "fit"
        else "the checkpoint (needed); it brings model, codecs and data"
    )
    if command == "generate":
        lead += "\n" + GENERATE_OPTIONS.rstrip()
    return HELP.format(
        command=command,
        about=COMMANDS[command][0].upper() + COMMANDS[command][1:],
        lead=lead,
        base="conf/default.yaml" if command == "fit" else "the checkpoint's own config",
        settings="\n".join(f"      {name:<46} {what}" for name, what in settings),
    )


def build_config(arguments: Arguments, base: dict[str, Any], from_checkpoint: bool) -> dict[str, Any]:
    """The base with every --config and then every --key=value laid over it.

    Raises:
        ConfigError: a model setting beside a checkpoint, or an unknown class or modality.
    """
    layers = [read_yaml(path) for path in arguments.configs]
    layers += [nested(name, parse_value(value)) for name, value in arguments.settings]
    if from_checkpoint:
        for layer in layers:
            if "model" in layer:
                raise ConfigError("model settings come from the checkpoint and cannot be changed: leave --model... out")
    config = base
    for layer in layers:
        for name, what in ((layer.get("model") or {}).get("modalities") or {}).items():
            known = config["model"]["modalities"]
            if name not in known and not ({"codec", "objective"} <= set(what or {})):
                close = did_you_mean(name, known)
                raise ConfigError(f"there is no modality {name!r}{close}; a new one needs a codec and an objective")
        config = merge(config, layer)
    if from_checkpoint:
        for line in changes(base.get("data"), config.get("data"), "data"):
            print(line)
    return config


def settle(config: dict[str, Any], allow: list[str]) -> dict[str, Any]:
    """Spell out what follows: class paths in full, codec arguments that the data settle, seeds.

    Raises:
        ConfigError: a class that does not exist or is not allowed.
    """
    config = merge({}, config)
    data = merge({"class_path": ""}, config["data"])
    data_class: Any = find_class(data["class_path"], allow)
    data["class_path"] = f"{data_class.__module__}.{data_class.__qualname__}"
    seed = config.get("seed", 0)
    data["init_args"] = {"seed": seed, **data.get("init_args", {})}
    config["data"] = data
    config["model"] = {"seed": seed, **config["model"]}
    settled = data_class.codec_settings(**{k: v for k, v in data["init_args"].items() if k != "seed"})
    for name, modality in config["model"]["modalities"].items():
        for role in ("codec", "objective"):
            if role not in modality:
                raise ConfigError(f"model.modalities.{name} has no {role}")
            spec = merge({"class_path": ""}, modality[role])
            found = find_class(spec["class_path"], allow)
            spec["class_path"] = f"{found.__module__}.{found.__qualname__}"
            if role == "codec":
                takes = inspect.signature(found).parameters
                known = {k: v for k, v in settled.get(name, {}).items() if k in takes}
                spec["init_args"] = {**known, **spec.get("init_args", {})}
            modality[role] = spec
    return config


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of this framework; tensors and plain values only, no code is run.

    Raises:
        ConfigError: it is missing, damaged, or of something else.
    """
    import torch

    if not path.is_file():
        raise ConfigError(f"--ckpt_path {path} does not exist")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged archive raises
        raise ConfigError(
            f"--ckpt_path {path} cannot be read: damaged, or no checkpoint ({type(error).__name__})"
        ) from None
    if not isinstance(checkpoint, dict) or not {"config", "state_dict"} <= set(checkpoint):
        raise ConfigError(f"--ckpt_path {path} is not a checkpoint of mot_lightning")
    return checkpoint


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
        quiet()
        prepare_and_run(arguments)
    except ConfigError as error:
        fail(str(error))


def quiet() -> None:
    """Silence what Lightning says of itself at each start, and what is meant as it is."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (".*does not have many workers.*", ".*treespec, LeafSpec.*", ".*in eval mode at the start.*"):
        warnings.filterwarnings("ignore", message=message)


def prepare_and_run(arguments: Arguments) -> None:
    given = arguments.pop("ckpt_path")
    path = Path(given[-1]) if given else None
    if path is None and arguments.command != "fit":
        raise ConfigError(f"{arguments.command} needs --ckpt_path, a checkpoint to read model, codecs and data from")
    options = {}
    if arguments.command == "generate":
        from mot_lightning.generation.command import take_options

        options = take_options(arguments)
    checkpoint = read_checkpoint(path) if path else None
    base = checkpoint["config"] if checkpoint else read_yaml(default_config())
    config = settle(build_config(arguments, base, checkpoint is not None), arguments.allow)
    if "--print_config" in arguments.flags:
        print(yaml.safe_dump(config, sort_keys=False), end="")
        return
    if "--help-all" in arguments.flags:
        from mot_lightning.lightning_cli import print_every_setting

        print_every_setting()
        return

    from mot_lightning import commands

    commands.run(arguments.command, config, arguments.allow, checkpoint, path, options)
