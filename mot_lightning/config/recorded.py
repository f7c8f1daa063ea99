"""Objects that remember how they were built, so that a checkpoint can say how to build them again."""

import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mot_lightning.config.checked import Checked, bound


class Recorded(Checked):
    """Records the arguments of `__init__` in `init_args`: those given, and the defaults of all others."""

    init_args: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        instance = super().__new__(cls, *args, **kwargs)
        arguments = bound(cls, args, kwargs)
        if arguments is not None:  # else __init__ raises; copies are made without arguments and get them afterwards
            parameters = inspect.signature(cls.__init__).parameters.items()
            defaults = {name: one.default for name, one in parameters if one.default is not inspect.Parameter.empty}
            instance.__dict__["init_args"] = {**defaults, **arguments}  # torch's __setattr__ needs __init__ first
        return instance


def class_spec(instance: Recorded) -> dict[str, Any]:
    """`class_path` and `init_args` of an object, as plain values of a config."""
    kind = type(instance)
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": plain(instance.init_args)}


def plain(value: Any) -> Any:
    """Nested mappings, lists, texts and numbers; an object that is none of these is replaced by its repr."""
    if isinstance(value, Recorded):
        return class_spec(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):  # some are floats too, but not such as a checkpoint can hold
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
