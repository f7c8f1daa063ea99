"""Merging of configs as plain nested dicts.

A mapping merges into a mapping, key by key. `null` drops an entry. A key that ends in `+` appends to a list. A value
tagged `!override` replaces the old one, unless that is a class. A class is `{class_path, init_args}` or just its name:
naming another class drops the old one's init_args, and `{batch_size: 4}` on a class sets its init_args.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mot_lightning.config.classes import same_class


class Override(NamedTuple):
    """A value that replaces a mapping instead of merging into it."""

    value: Any


def merge(old: Any, new: Any) -> Any:
    """`old` with `new` merged into it; neither is changed."""
    if isinstance(new, Override):
        return merge(old if _is_class(old) or isinstance(old, str) else None, new.value)
    if _is_class(old) and isinstance(new, str | Mapping):
        new = _class_spec(new)
        if "class_path" in new and not same_class(old["class_path"], new["class_path"]):
            return merge(None, new)
    if isinstance(old, str) and isinstance(new, Mapping):  # a string in place of a mapping is a class's name
        return merge({"class_path": old}, new)
    if isinstance(old, list) and isinstance(new, Mapping):  # into the last item of a list
        return [*old[:-1], merge(old[-1] if old else None, new)]
    if not isinstance(new, Mapping):
        return new
    merged = dict(old) if isinstance(old, Mapping) else {}
    for key, value in new.items():
        if key.endswith("+"):
            name = key.removesuffix("+")
            merged[name] = [*as_list(merged.get(name)), *as_list(merge(None, value))]
        elif value is None and isinstance(merged.get(key), Mapping) and not _is_class(merged[key]):
            merged.pop(key)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def _is_class(value: Any) -> bool:
    return isinstance(value, Mapping) and "class_path" in value


def _class_spec(value: str | Mapping[str, Any]) -> dict[str, Any]:
    """`class_path` and `init_args` of a class's name, or of a mapping whose other keys are moved into init_args."""
    if isinstance(value, str):
        return {"class_path": value}
    spec = {key: value[key] for key in ("class_path", "init_args") if key in value}
    beside = {key: setting for key, setting in value.items() if key not in spec}
    return {**spec, "init_args": {**spec.get("init_args", {}), **beside}} if beside else spec


def as_list(value: Any) -> list[Any]:
    """A list as it is, None as an empty one, and any other value in a list of its own."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def nested(config: Any) -> Any:
    """A config with its dotted keys as nested mappings."""
    if isinstance(config, Override):
        return Override(nested(config.value))
    if isinstance(config, list):
        return [nested(item) for item in config]
    if not isinstance(config, Mapping):
        return config
    result: dict[str, Any] = {}
    for key, value in config.items():
        *parents, last = str(key).split(".") if "class_path" not in config else [str(key)]
        inner = {last: nested(value)}
        for name in reversed(parents):
            inner = {name: inner}
        result = _join(result, inner)
    return result


def _join(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """The keys of both, at all depths. Both are from one file, so the rules of `merge` do not apply."""
    joined = dict(a)
    for key, value in b.items():
        both = isinstance(joined.get(key), dict) and isinstance(value, dict)
        joined[key] = _join(joined[key], value) if both else value
    return joined


def unflatten(dotted: str, value: Any) -> dict[str, Any]:
    """Turn `a.b` and v into {a: {b: v}}."""
    for key in reversed(dotted.split(".")):
        value = {key: value}
    return value


def flatten_keys(config: Any, path: str = "") -> list[str]:
    """The dotted names of all settings in a config."""
    config = config.value if isinstance(config, Override) else config
    if isinstance(config, Mapping) and config:
        return [name for key, value in config.items() for name in flatten_keys(value, f"{path}.{key}".strip("."))]
    return [path]


def diff(old: Any, new: Any, path: str = "") -> list[str]:
    """Lines "a.b: old -> new" for every leaf that differs."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted({*old, *new})
        return [line for key in keys for line in diff(old.get(key), new.get(key), f"{path}.{key}".strip("."))]
    return [] if old == new else [f"{path.replace('.init_args', '')}: {old} -> {new}"]
