"""Roles of media: a medium that is read goes to another modality than one that is made.

Knows modalities by their names and their codecs, not documents.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any

from mot_lightning.codecs import Codec
from mot_lightning.config.checked import Checked
from mot_lightning.errors import ConfigError
from mot_lightning.evaluation.tasks import Task
from mot_lightning.sequence import Grammar

SeenAs = Mapping[str, str]


class MediaRoles(Checked):
    """A datamodule whose `media`, `tasks` and `codec_settings` are those of its roles, too.

    A data set defines them for the media that it has; what is seen as another modality follows from these.
    """

    seen_as: SeenAs
    encoded: bool
    grammar: Grammar | None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, with_roles in (("media", _media), ("tasks", _tasks)):
            if name in vars(cls):
                setattr(cls, name, with_roles(vars(cls)[name]))
        if "codec_settings" in vars(cls):
            cls.codec_settings = classmethod(_codec_settings(vars(cls)["codec_settings"].__func__))  # type: ignore[attr-defined]

    def check_roles(self, codecs: Mapping[str, Codec]) -> None:
        """Raises ValueError if `seen_as` names no modality of a model, or if two codecs take different media."""
        if self.seen_as and self.encoded:
            raise ValueError(f"data.seen_as is {shown(self.seen_as)}, wanted none: the media are encoded already")
        for name, view in self.seen_as.items():
            for one in (name, view):
                if one not in codecs:
                    raise ValueError(f"data.seen_as names {one!r}, wanted some of {', '.join(codecs)}")
            of_name, of_view = (codecs[one].media_type for one in (name, view))
            if type(of_name) is not type(of_view) or vars(of_name) != vars(of_view):
                kinds = f"that of {name} takes {_kind(of_name)}, that of {view} {_kind(of_view)}"
                raise ValueError(f"data.seen_as is {shown(self.seen_as)}, wanted codecs of the same media: {kinds}")


def check_seen_as(seen_as: Any) -> SeenAs:
    """A mapping of names. Raises ConfigError if it is none, or a modality is seen as itself, or two as one."""
    if not isinstance(seen_as, Mapping) or not all(isinstance(view, str) for view in seen_as.values()):
        raise ConfigError(f"data.seen_as is {seen_as!r}, wanted a mapping of modalities")
    for name, view in seen_as.items():
        if view == name or view in seen_as or [*seen_as.values()].count(view) > 1:
            raise ConfigError(f"data.seen_as is {shown(seen_as)}, wanted for each modality another one, used once")
    return seen_as


def shown(seen_as: SeenAs) -> str:
    return f"{{{', '.join(f'{name}: {view}' for name, view in seen_as.items())}}}"


def _kind(media_type: Any) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in vars(media_type).items())
    return f"{type(media_type).__name__}{settings and f' of {settings}'}"


def _media(media: Callable[..., Sequence[Any]]) -> Callable[..., Sequence[Any]]:
    @wraps(media)
    def of_role(self: Any, modality: str, split: str) -> Sequence[Any]:
        names = {view: name for name, view in self.seen_as.items()}
        return media(self, names.get(modality, modality), split)

    return of_role


def _tasks(tasks: Callable[..., list[Task]]) -> Callable[..., list[Task]]:
    """Prompts are read; what is only observed is no target."""

    @wraps(tasks)
    def of_roles(self: Any, split: str) -> list[Task]:
        observed = self.grammar.observed if self.grammar else ()
        return [
            replace(
                task, prompts=[[(self.seen_as.get(name, name), m) for name, m in prompt] for prompt in task.prompts]
            )
            for task in tasks(self, split)
            if task.target not in observed
        ]

    return of_roles


def _codec_settings(codec_settings: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    @wraps(codec_settings)
    def of_roles(cls: Any, **settings: Any) -> dict[str, Any]:
        arguments = codec_settings(cls, **settings)
        seen_as = check_seen_as(settings.get("seen_as") or {})  # what is wrong with it would else show in a codec
        return {**{view: arguments[name] for name, view in seen_as.items() if name in arguments}, **arguments}

    return of_roles
