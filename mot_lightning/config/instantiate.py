"""Builds objects from settings with jsonargparse, by type annotations, from allowed packages only.

The import policy of jsonargparse is process-wide, so it is changed only while something is built.
"""

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jsonargparse
from jsonargparse import _common

from mot_lightning.config.classes import LIBRARIES, OURS, check_classes
from mot_lightning.config.messages import shorten
from mot_lightning.errors import ConfigError


@contextmanager
def importing_only(allow: Sequence[str] = ()) -> Iterator[None]:
    """In this context, jsonargparse imports only from `IMPORTABLE` and `allow`."""
    settings = dict(_common.parsing_settings)  # jsonargparse has no public getter
    try:
        jsonargparse.set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*OURS, *LIBRARIES, *allow])
        with warnings.catch_warnings():
            # from Lightning's use of jsonargparse
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"jsonargparse|lightning")
            yield
    finally:
        _common.parsing_settings.update(settings)


def instantiate(function: Callable[..., Any], settings: Mapping[str, Any], allow: Sequence[str] = ()) -> dict[str, Any]:
    """The arguments of a function or class, built from plain settings by its annotations.

    Args:
        allow: packages whose classes the settings may name, besides the project's own.

    Raises:
        ConfigError: a setting does not exist, or its value has another type.
    """
    check_classes(settings, allow)
    with importing_only(allow):
        parser = jsonargparse.ArgumentParser(exit_on_error=False)
        parser.add_function_arguments(function, as_group=False)
        try:
            arguments = parser.instantiate(parser.parse_object(copy.deepcopy(dict(settings))))
        except (jsonargparse.ArgumentError, ValueError, TypeError) as error:
            raise ConfigError(shorten(str(error))) from error
    return vars(arguments)
