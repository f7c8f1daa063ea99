"""Classes that refuse arguments of an unknown name or of another type, in one line."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ClassVar, TypeVar

from mot_lightning.config.types import check_names, check_types

Kind = TypeVar("Kind", bound=type)


class Checked:
    """Checks the arguments of `__init__` by its signature and annotations, before it runs.

    Attributes:
        setting: what the arguments belong to, in messages; by default the class's name.
    """

    setting: ClassVar[str] = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        _check(cls, cls.setting or cls.__name__, args, kwargs)
        return super().__new__(cls)


def checked(setting: str) -> Callable[[Kind], Kind]:
    """As `Checked`, for dataclasses: jsonargparse knows those by their having no other base."""

    def decorate(kind: Kind) -> Kind:
        init = kind.__init__  # type: ignore[misc]

        @wraps(init)
        def checking(self: Any, *args: Any, **kwargs: Any) -> None:
            _check(kind, setting, args, kwargs)
            init(self, *args, **kwargs)

        kind.__init__ = checking  # type: ignore[misc]
        return kind

    return decorate


def _check(kind: type, setting: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    arguments = bound(kind, args, kwargs)
    if arguments is None:  # a name is unknown, or else __init__ raises; copies are made without arguments
        check_names(kind, kwargs)
    else:
        check_types(kind.__init__, arguments, setting and f"{setting}.")  # type: ignore[misc]


def bound(kind: type, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """The arguments of a class by name; None if its signature does not take them, or needs more."""
    signature = inspect.signature(kind.__init__)  # type: ignore[misc]
    try:
        names = signature.bind(None, *args, **kwargs).arguments
    except TypeError:
        return None
    arguments: dict[str, Any] = {}
    for name, value in list(names.items())[1:]:
        gathers = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        arguments.update(value if gathers else {name: value})
    return arguments
