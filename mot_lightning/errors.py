"""Errors as one-line messages: bad input, with the actual and the expected value, and files that cannot be written."""

from typing import Any


class ConfigError(ValueError):
    """Bad input that a user can correct; commands print it as one line and exit with code 2."""


class NotWritten(Exception):
    """A file could not be written; commands print it as one line and exit with code 1."""


def require(name: str, value: Any, requirement: str, fits: bool) -> None:
    """Raises ValueError "{name} is {value}, wanted {requirement}" unless `fits` is true."""
    if not fits:
        raise ValueError(f"{name} is {value!r}, wanted {requirement}")
