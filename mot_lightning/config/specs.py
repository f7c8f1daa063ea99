"""Classes that a config names and that are built late: jsonargparse leaves them as they are written."""

from typing import Any

from jsonargparse.typing import register_type


class Specs(dict[str, Any]):
    """Nested mappings with `class_path` and `init_args` of classes."""


register_type(Specs, serializer=dict, deserializer=Specs, type_check=lambda value, kind: isinstance(value, dict))
