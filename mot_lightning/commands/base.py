"""What a command is: a name, options with their help, and what it does with a command line."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class Option:
    """An option of a command, beside the settings of the experiment.

    Attributes:
        name: without dashes.
        metavar: what its value is called in the help.
        help: one line.
        type: of its value.
        default: where it is not given.
        repeated: whether it may be given again; its value is then a list.
    """

    name: str
    metavar: str
    help: str
    type: type = str
    default: Any = None
    repeated: bool = False


@dataclass(frozen=True)
class Invocation:
    """A command line, split but not understood.

    Attributes:
        configs: files, in order.
        settings: (dotted name, text of the value) of the experiment, in order.
        allow: packages whose classes a config may name, besides ours.
        ckpt_path: the checkpoint to start from.
        options: the command's own.
        print_config: whether the config is to be shown, and nothing done.
    """

    configs: list[Path] = field(default_factory=list)
    settings: list[tuple[str, str]] = field(default_factory=list)
    allow: list[str] = field(default_factory=list)
    ckpt_path: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    print_config: bool = False


class Command(ABC):
    """One command. Whatever can be refused is refused before it writes anything."""

    name: ClassVar[str]
    summary: ClassVar[str]
    needs_checkpoint: ClassVar[bool] = True
    checkpoint_help: ClassVar[str] = "the checkpoint (needed); it brings model, codecs and data"
    takes_settings: ClassVar[bool] = True  # and configs, beside its own options
    options: ClassVar[tuple[Option, ...]] = ()
    # settings that its help shows, with a remark
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("--data.batch_size=64", "data may differ from the run's; model settings may not"),
        ("--model.modalities.image.codec.name_or_path=DIR", "where a codec's folder lies now"),
        ("--trainer.accelerator=gpu", "and whatever else Lightning's Trainer takes"),
    )

    @abstractmethod
    def run(self, invocation: Invocation) -> None:
        """Do it.

        Raises:
            ConfigError: bad input.
            SystemExit: a signal stopped it, or a loss is NaN.
        """
