"""Errors of bad input: one line that names the value seen and the value wanted."""

from typing import Any


class ConfigError(ValueError):
    """Bad input that a user can correct; commands print it as one line and exit with code 2."""


def require(name: str, value: Any, requirement: str, fits: bool) -> None:
    """Raises ValueError "name is value, wanted ..." unless the value fits."""
    if not fits:
        raise ValueError(f"{name} is {value!r}, wanted {requirement}")
