"""Settings that are paths: made absolute, and those of a checkpoint that say where to write left out."""

import copy
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mot_lightning.config.classes import LIBRARIES, class_names, find_class
from mot_lightning.config.paths import absolute, absolute_or_name
from mot_lightning.errors import ConfigError, say

WRITTEN_TO = {"dirpath", "save_dir", "root_dir", "log_dir", "dir"}  # arguments of Lightning's classes, by their names
PATH = re.compile(r"\b_?Path\b|_PATH\b")  # in an annotation
NUMBER = re.compile(r"\b(int|float|bool)\b")  # in that of an argument that may be no path


def takes_path(annotation: Any) -> bool:
    """Whether an argument is a path, or has paths in it."""
    return bool(PATH.search(str(annotation)))


def located(value: Any, name: str, may_be_name: bool) -> Any:
    """A path, or all paths in a list or a mapping, made absolute.

    Args:
        name: of the setting, in error messages.
        may_be_name: whether it may also be a name on a hub.
    """
    if isinstance(value, str):
        return absolute_or_name(value, name) if may_be_name else str(absolute(value, name))
    if isinstance(value, list | tuple):
        return [located(item, name, may_be_name) for item in value]
    if isinstance(value, Mapping):
        return {key: located(item, f"{name}.{key}", may_be_name) for key, item in value.items()}
    return value


def locate_arguments(arguments: dict[str, Any], kind: type, name: str) -> None:
    """Make the paths among a class's arguments absolute, in place."""
    for key, parameter in inspect.signature(kind).parameters.items():
        if key in arguments and takes_path(parameter.annotation):
            if not NUMBER.search(str(parameter.annotation)):
                _refuse_numbers(arguments[key], f"{name}.{key}")
            may_be_name = bool(re.search(r"\bstr\b", str(parameter.annotation)))
            arguments[key] = located(arguments[key], f"{name}.{key}", may_be_name)


def _refuse_numbers(value: Any, name: str) -> None:
    """Raises ConfigError if a path is a number, which YAML makes of a folder such as 0."""
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
    for item in items:
        if isinstance(item, int | float):
            raise ConfigError(f"{name} is {value!r}, wanted a path, such as ./{item}")


def locate_trainer(trainer: dict[str, Any], allow: Sequence[str]) -> None:
    """Make the paths of the trainer's loggers, callbacks and other classes absolute, in place."""
    for name, kind, arguments in _classes(trainer, "trainer", allow):
        for key in _paths(kind, arguments):
            arguments[key] = located(arguments[key], f"{name}.{key}", may_be_name=False)


def without_locations(config: Mapping[str, Any], allow: Sequence[str]) -> dict[str, Any]:
    """A checkpoint's config without what says where its run wrote: that is for the command line to say.

    Prints a line for each path that the trainer's classes lose.
    """
    remaining = copy.deepcopy({name: value for name, value in config.items() if name != "runs"})
    for name, kind, arguments in _classes(remaining.get("trainer"), "trainer", allow):
        for key in _paths(kind, arguments):
            say(f"{name}.{key} is not taken from the checkpoint, which has {arguments.pop(key)}")
    return remaining


def _paths(kind: type | None, arguments: Mapping[str, Any]) -> list[str]:
    annotated = inspect.signature(kind).parameters if kind else {}
    by_annotation = {key for key, parameter in annotated.items() if takes_path(parameter.annotation)}
    return [key for key, value in arguments.items() if value is not None and key in by_annotation | WRITTEN_TO]


def _classes(config: Any, name: str, allow: Sequence[str]) -> Iterator[tuple[str, type | None, dict[str, Any]]]:
    """The name, class and arguments of each class in a config; no class if it is unknown, which is refused later."""
    if isinstance(config, list):
        for item in config:
            yield from _classes(item, name, allow)
    elif isinstance(config, dict) and isinstance(path := config.get("class_path"), str):
        if isinstance(arguments := config.get("init_args"), dict):
            yield f"{name}.{path.rpartition('.')[2]}", _find(path, name.rpartition(".")[2], allow), arguments
    elif isinstance(config, dict):
        for key, item in config.items():
            yield from _classes(item, f"{name}.{key}", allow)


def _find(path: str, group: str, allow: Sequence[str]) -> type | None:
    home = {"logger": "loggers", "profiler": "profilers", "callbacks": "callbacks", "strategy": "strategies"}.get(group)
    if "." not in path and path not in class_names():
        path = f"lightning.pytorch.{home}.{path}"
    try:
        return find_class(path, [*LIBRARIES, *allow])
    except ConfigError:
        return None
