"""Names the modality in a message about one of its settings, which jsonargparse leaves out."""

import re
from collections.abc import Iterator, Mapping
from typing import Any


def with_modality(line: str, config: Mapping[str, Any]) -> str:
    """The message "patch_size is 4, wanted ..." with model.modalities.image.codec before it, if only its value is 4."""
    match = re.match(r"(?P<above>data\.media\.|)(?P<name>\w+) is (?P<value>.+?), wanted ", line)
    if match is None:
        return line
    if match["above"]:
        above, settings = "data.media", (config["data"].get("init_args") or {}).get("media")
    else:
        above, settings = "model.modalities", config["model"].get("modalities")
    paths = [
        path for path, value in _leaves(settings, above)
        if path.rpartition(".")[2] == match["name"] and match["value"] in _shown(value)
    ]  # fmt: skip
    return paths[0] + line[match.end("name") :] if len(paths) == 1 else line


def _leaves(settings: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The settings that are no mappings, by the names that the command line gives them."""
    if not isinstance(settings, Mapping):
        yield path, settings
        return
    for name, value in settings.items():
        yield from _leaves(value, path if name == "init_args" else f"{path}.{name}")


def _shown(value: Any) -> list[str]:
    """How a message may show a value, or an item of it."""
    return [text for one in (value, *(value if isinstance(value, list) else ())) for text in (str(one), repr(one))]
