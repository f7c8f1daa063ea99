"""JSON of others: what is not JSON is refused in a few words, as is a mapping with a key twice."""

import json
from typing import Any

from mot_lightning.errors import BadMedia


def parse(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        BadMedia: it is not JSON, or it has a key twice, of which Python would take the last.
    """
    try:
        return json.loads(text, object_pairs_hook=_mapping)
    except BadMedia:
        raise
    except (ValueError, RecursionError):
        raise BadMedia("not JSON", "not JSON") from None


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadMedia(f"the key {twice!r} is there twice, wanted once", "duplicate")
    return mapping
