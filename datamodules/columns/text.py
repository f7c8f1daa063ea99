"""Texts: a column as it is, the content of text files, or a template that other columns fill in."""

from pathlib import Path
from string import Formatter
from typing import Any

from datamodules.columns.base import Column
from datamodules.sources import Record
from datamodules.sources.base import Member
from mot_lightning.media import Text


class TextColumn(Column):
    """Texts, or templates with the names of columns in braces. An empty text is none.

    Args:
        column: its name; null if there are templates.
        templates: such as "a photo of {label}"; each is one text of a record.
        weight: as in `Column`.
    """

    def __init__(
        self, column: str | None = "text", templates: list[str] | None = None, weight: str | None = None
    ) -> None:
        super().__init__(column or "", weight=weight)
        self.templates = templates
        self.media_type = Text()
        self.names = {name for one in templates or [] for _, name, _, _ in Formatter().parse(one) if name is not None}
        for name in self.names:
            if not name.isidentifier():
                raise ValueError(f"a template names column {name!r}, wanted a plain name")

    def values(self, record: Record) -> list[Any]:
        if self.templates is None:
            return [value for value in super().values(record) if value != ""]
        missing = sorted(self.names - record.keys())
        if missing:
            raise ValueError(f"the records have no column {missing[0]!r}, wanted one of {', '.join(record)}")
        for name in self.names:
            if isinstance(cell := record[name], list | Member):
                kind = "a list" if isinstance(cell, list) else "a file"
                raise ValueError(f"column {name!r} holds {kind}, wanted one value for a template")
        return [template.format_map(record) for template in self.templates]

    def decode(self, value: Any) -> str:
        text = self.media_type.read(value) if isinstance(value, Path) else value
        text = value.read().decode() if isinstance(value, Member) else text
        if not isinstance(text, str | int | float):
            raise ValueError(f"column {self.column!r} holds {str(value)[:40]!r}, wanted texts")
        self.media_type.check(text := str(text))
        return text
