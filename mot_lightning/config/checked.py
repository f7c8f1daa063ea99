"""Classes that refuse arguments of an unknown name or of another type, in one line."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ClassVar, TypeVar

from mot_lightning.config.types import GATHERING, check_names, check_types, hints_of

Kind = TypeVar("Kind", bound=type)


class Checked:
    """Checks the arguments of `__init__` by its signature and annotations, before it runs.

    `**settings` in the `__init__` of a subclass stand for the arguments of its base class that it does not name: they
    are in its signature, for checks, help and configs.

    Attributes:
        setting: what the arguments belong to, in messages; by default the class's name.
    """

    setting: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            _inherit_arguments(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        _check(cls, cls.setting or cls.__name__, args, kwargs)
        return super().__new__(cls)


def _inherit_arguments(cls: Any) -> None:
    """Write the arguments that `**settings` stand for into the signature of a class's `__init__`."""
    init: Any = vars(cls)["__init__"]
    base: Any = super(cls, cls).__init__
    parameters = inspect.signature(init).parameters
    gathering = [name for name, one in parameters.items() if one.kind is inspect.Parameter.VAR_KEYWORD]
    of_base = [one for name, one in list(inspect.signature(base).parameters.items())[1:] if name not in parameters]
    if not gathering or base is object.__init__ or any(one.kind in GATHERING for one in of_base):
        return
    inherited = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in of_base]
    given = [one for name, one in parameters.items() if name not in gathering]
    hints = hints_of(base)
    init.__annotations__ = {
        **{one.name: hints[one.name] for one in inherited if one.name in hints},
        **{name: hint for name, hint in init.__annotations__.items() if name not in gathering},
    }
    init.__signature__ = inspect.Signature([*given, *inherited])


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
