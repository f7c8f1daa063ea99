"""Classes that a config names, spelt out: full names, arguments that follow from the data, and absolute paths.

Knows how a class and its arguments are written; which settings are classes is left to `resolve.py`.
"""

import inspect
from collections.abc import Sequence
from dataclasses import is_dataclass
from enum import Enum
from typing import Any, get_args, get_origin

from mot_lightning.config.classes import (
    DATA_SETS,
    LIBRARIES,
    OURS,
    check_arguments,
    check_keys,
    class_names,
    class_path_of,
    find_class,
)
from mot_lightning.config.messages import in_words
from mot_lightning.errors import ConfigError
from mot_lightning.experiment.locations import locate_arguments

Config = dict[str, Any]
AVERAGING = {"StochasticWeightAveraging", "WeightAveraging"}  # callbacks of Lightning


def class_spec(
    name: str, spec: Any, allow: Sequence[str], from_data: Config | None = None, linked: Sequence[str] = ("seed",)
) -> tuple[type, Config]:
    """A class, and its full name with its arguments, including those that follow from the data.

    Args:
        linked: names of arguments that are set elsewhere.
    """
    spec = {"class_path": spec} if isinstance(spec, str) else spec
    if spec is None:
        raise ConfigError(f"{name} is missing, wanted the name of a class: --{name}=CLASS")
    if not isinstance(spec, dict):
        raise ConfigError(f"{name} is {spec!r}, wanted the name of a class")
    kind = find_class(class_path_of(name, spec), allow)
    parameters = inspect.signature(kind).parameters
    known = {key: value for key, value in (from_data or {}).items() if key in parameters}
    arguments = {**known, **(spec.get("init_args") or {})}
    for key, value in arguments.items():
        if value is None and key in parameters and parameters[key].annotation in (bool, int, float, str):
            raise ConfigError(f"{name}.{key} is null, wanted {in_words(str(parameters[key].annotation))}")
        if key in parameters and is_dataclass(parameters[key].annotation):
            check_mapping(f"{name}.{key}", value)
        value = _as_class(f"{name}.{key}", value, parameters[key].annotation) if key in parameters else value
        arguments[key] = _arguments_spec(f"{name}.{key}", value, allow)
    locate_arguments(arguments, kind, name)
    check_arguments(name, kind, arguments, linked)
    return kind, {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": arguments}


def _as_class(name: str, value: Any, annotation: Any) -> Any:
    """A class's name as the spec of a class, where the annotation is a class of ours; also in a mapping of them."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is dict and isinstance(value, dict):
        return {key: _as_class(f"{name}.{key}", item, inner[1]) for key, item in value.items()}
    ours = isinstance(annotation, type) and annotation.__module__.partition(".")[0] in OURS
    if not ours or is_dataclass(annotation):
        return value
    if value is None:
        raise ConfigError(f"{name} is missing, wanted the name of a class: --{name}=CLASS")
    return {"class_path": value} if isinstance(value, str) else value


def _arguments_spec(name: str, value: Any, allow: Sequence[str]) -> Any:
    """An argument of a class in which other classes, such as a scheduler or the source of the data, are spelt out."""
    if isinstance(value, list):
        return [_arguments_spec(name, item, allow) for item in value]
    if not isinstance(value, dict):
        return value
    path = value.get("class_path")
    if _is_bare(path) and name.endswith("scheduler"):  # of diffusers, whose import path the parser needs
        return {**value, "class_path": f"diffusers.{path}"}
    # arguments of libraries' classes are left to the parser, but for the paths of data sets
    others = tuple(f"{library}." for library in LIBRARIES if library not in DATA_SETS)
    if isinstance(path, str) and not path.startswith(others):
        return class_spec(name, value, [*DATA_SETS, *allow])[1]
    return {key: _arguments_spec(f"{name}.{key}", item, allow) for key, item in value.items()}


def callback_spec(spec: Any, allow: Sequence[str]) -> Any:
    """A callback with its default arguments that are Enums as plain values, which a config can hold.

    Raises:
        ConfigError: its arguments do not fit, or it averages weights, which are averaged already.
    """
    spec = {"class_path": spec} if isinstance(spec, str) else spec
    if not isinstance(spec, dict):
        return spec
    path = class_path_of("trainer.callbacks", spec)
    path = path if "." in path or path in class_names() else f"lightning.pytorch.callbacks.{path}"
    kind = find_class(path, [*LIBRARIES, *allow])
    if AVERAGING & {base.__name__ for base in kind.__mro__}:
        raise ConfigError(
            f"trainer.callbacks has {kind.__name__}, wanted none that averages weights: see model.optimizer.ema_decay"
        )
    check_keys("trainer.callbacks", spec)
    check_arguments("trainer.callbacks", kind, spec.get("init_args") or {}, listed=True)
    defaults = {name: parameter.default for name, parameter in inspect.signature(kind).parameters.items()}
    enums = {name: default.value for name, default in defaults.items() if isinstance(default, Enum)}
    return {"class_path": path, "init_args": {**enums, **(spec.get("init_args") or {})}}


def _is_bare(name: Any) -> bool:
    return isinstance(name, str) and "." not in name and name not in class_names()


def check_mapping(path: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise ConfigError(f"{path} is {value!r}, wanted a mapping of settings")
