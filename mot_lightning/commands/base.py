"""The interface of a command: its name, its options with help, and `run`."""

import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class Option:
    """An option of a command, as opposed to a setting of the experiment.

    Attributes:
        name: without dashes.
        metavar: placeholder of its value in the help.
        help: one line.
        type: type of its value; bool is a flag without a value.
        default: value without the option.
        repeated: whether it may be repeated; its value is then a list.
    """

    name: str
    metavar: str
    help: str
    type: type = str
    default: Any = None
    repeated: bool = False


@dataclass(frozen=True)
class Invocation:
    """A command line, split into options and settings; the values of settings are not parsed yet.

    Attributes:
        configs: config files, in order.
        settings: (dotted name, unparsed value) of each setting of the experiment, in order.
        allow: packages whose classes a config may name, besides the project's own.
        ckpt_path: the checkpoint to start from.
        options: values of the command's options.
        print_config: whether to print the config and exit.
        paths: the words that are neither options nor settings, of commands that take some.
        argv: the whole command line, for files that say how they came about.
    """

    configs: list[Path] = field(default_factory=list)
    settings: list[tuple[str, str]] = field(default_factory=list)
    allow: list[str] = field(default_factory=list)
    ckpt_path: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    print_config: bool = False
    paths: Sequence[Path] = ()
    argv: Sequence[str] = ()

    @property
    def line(self) -> str:
        """The command line, to be run again."""
        return f"python -m mot_lightning {shlex.join(self.argv)}"


class Command(ABC):
    """One command. It checks its input before it writes anything."""

    name: ClassVar[str]
    summary: ClassVar[str]
    needs_checkpoint: ClassVar[bool] = True
    checkpoint_help: ClassVar[str] = "the checkpoint (required): sets model, codecs and data"
    builds: ClassVar[bool] = True  # whether it builds a model, of --ckpt_path or --config, with classes of --allow
    takes_settings: ClassVar[bool] = True  # whether it takes settings and --config
    paths: ClassVar[str] = ""  # placeholder of the paths that it takes without an option, if any
    options: ClassVar[tuple[Option, ...]] = ()
    # (setting, remark) pairs shown in its help
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("--data.batch_size=64", "data may differ from the run's; model settings may not"),
        ("--model.modalities.image.codec.name_or_path=DIR", "new folder of a codec that moved"),
        ("--trainer.accelerator=gpu", "and any other argument of Lightning's Trainer"),
    )

    @abstractmethod
    def run(self, invocation: Invocation) -> None:
        """Run the command.

        Raises:
            ConfigError: bad input.
            SystemExit: a signal stopped it, or a loss or weight is NaN or infinite.
        """
