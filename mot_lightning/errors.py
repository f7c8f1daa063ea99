"""Errors for bad input: one-line messages with the actual and the expected value."""

from typing import Any


class ConfigError(ValueError):
    """Bad input that a user can correct; commands print it as one line and exit with code 2."""


def require(name: str, value: Any, requirement: str, fits: bool) -> None:
    """Raises ValueError "{name} is {value}, wanted {requirement}" unless `fits` is true."""
    if not fits:
        raise ValueError(f"{name} is {value!r}, wanted {requirement}")
