"""Configs as plain nested dicts: how files and flags merge onto a base, and which classes they may name.

Knows nothing of what the settings mean; `cli.py` hands the result to LightningCLI.

Merging: a mapping merges into a mapping, key by key; `null` drops an entry; a class is `{class_path, init_args}` or
just its name, and naming another class drops the old one's init_args.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

OUR_CLASSES = ("mot_lightning.objectives", "mot_lightning.codecs", "datamodules", "mot_lightning.callbacks")


class ConfigError(ValueError):
    """Bad input: one line that names the value seen and the value wanted."""


def default_config() -> Path:
    """conf/default.yaml, from a checkout or from an installed package."""
    here = Path(__file__).resolve().parent
    for folder in (here / "conf", here.parent / "conf"):
        if (folder / "default.yaml").is_file():
            return folder / "default.yaml"
    raise ConfigError("conf/default.yaml is missing from this installation")


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping from a YAML file.

    Raises:
        ConfigError: the file is missing, is no YAML, or holds no mapping.
    """
    if not path.is_file() and (shipped := default_config().parent / path.name).is_file() and path.parent.name == "conf":
        path = shipped  # conf/name.yaml works from any directory
    if path.is_dir():
        raise ConfigError(f"--config {path} is a folder, wanted a YAML file")
    if not path.is_file():
        known = sorted(
            str(Path("conf") / p.relative_to(default_config().parent)) for p in default_config().parent.rglob("*.yaml")
        )
        raise ConfigError(f"--config {path} does not exist{did_you_mean(str(path), known)}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content or {}, dict):
        raise ConfigError(f"--config {path} holds a {type(content).__name__}, wanted a mapping")
    return content or {}


def parse_value(text: str) -> Any:
    """A flag's value, as YAML would read it; 1e-3 is a number too."""
    if re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", text):
        return float(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def same_class(a: str, b: str) -> bool:
    """Whether two class paths name one class: a bare name is one of ours."""
    paths = [[path] if "." in path else [f"{home}.{path}" for home in OUR_CLASSES] for path in (a, b)]
    return a == b or any(_object(p) is not None and _object(p) is _object(q) for p in paths[0] for q in paths[1])


def _object(path: str) -> Any:
    module, _, name = path.rpartition(".")
    if not any(module == home or module.startswith(home + ".") for home in OUR_CLASSES):
        return None  # only our own are imported here
    try:
        return getattr(import_module(module), name, None)
    except ImportError:
        return None


def find_class(path: str, allowed: Iterable[str] = ()) -> type:
    """The class that a class_path names, ours by bare name or another's from an allowed package.

    Raises:
        ConfigError: there is no such class, or its package is not allowed.
    """
    candidates = [path] if "." in path else [f"{home}.{path}" for home in OUR_CLASSES]
    for candidate in candidates:
        found = _object(candidate)
        if found is None and any(candidate.startswith(prefix + ".") for prefix in allowed):
            module, _, name = candidate.rpartition(".")
            try:
                found = getattr(import_module(module), name, None)
            except ImportError as error:
                raise ConfigError(f"class {path!r} cannot be imported: {error}") from None
        if isinstance(found, type):
            return found
    if "." in path and not any(path.startswith(prefix + ".") for prefix in (*OUR_CLASSES, *allowed)):
        raise ConfigError(f"class {path!r} is outside the allowed packages: add --allow {path.split('.')[0]} to use it")
    names = [name for name in class_names() if not find_class(name).__module__.startswith("mot_lightning.callbacks")]
    close = did_you_mean(path, names) or f", wanted one of {', '.join(sorted(names))}"
    raise ConfigError(f"there is no class {path!r}{close}")


def class_names() -> list[str]:
    return [name for home in OUR_CLASSES for name in getattr(import_module(home), "__all__", ())]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint at the closest known word, or nothing."""
    close = difflib.get_close_matches(word, sorted(set(known) - {word}), n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else ""


def did_you_mean_setting(word: str, known: Iterable[str]) -> str:
    """The same for dotted names, of which the last part counts."""
    by_last = {name.rpartition(".")[2]: name for name in sorted(known, reverse=True) if name != word}
    close = difflib.get_close_matches(word, by_last, n=1, cutoff=0.6)
    return f", did you mean {by_last[close[0]]}?" if close else ""


def merge(old: Any, new: Any) -> Any:
    """`new` laid over `old`; neither is changed."""
    if isinstance(old, Mapping) and "class_path" in old:
        if isinstance(new, str):
            new = {"class_path": new}
        if isinstance(new, Mapping):
            beside = {k: v for k, v in new.items() if k not in ("class_path", "init_args")}
            new = {k: v for k, v in new.items() if k in ("class_path", "init_args")}
            if beside:  # data.batch_size stands for data.init_args.batch_size
                new["init_args"] = {**new.get("init_args", {}), **beside}
            if "class_path" in new and not same_class(old["class_path"], new["class_path"]):
                return new
    if isinstance(old, str) and isinstance(new, Mapping):  # only a class's name is a string where a mapping fits
        return merge({"class_path": old}, new)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        merged = dict(old)
        for key, value in new.items():
            if value is None and isinstance(merged.get(key), Mapping) and "class_path" not in merged[key]:
                merged.pop(key)
            else:
                merged[key] = merge(merged.get(key), value)
        return merged
    return new


def nested(dotted: str, value: Any) -> dict[str, Any]:
    """Turn `a.b` and v into {a: {b: v}}."""
    for key in reversed(dotted.split(".")):
        value = {key: value}
    return value


def leaves(config: Any, path: str = "") -> list[str]:
    """The dotted names of all that a config sets."""
    if isinstance(config, Mapping) and config:
        return [name for key, value in config.items() for name in leaves(value, f"{path}.{key}".strip("."))]
    return [path]


def changes(old: Any, new: Any, path: str = "") -> list[str]:
    """Lines "a.b: old -> new" for every leaf that differs."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted({*old, *new})
        return [line for key in keys for line in changes(old.get(key), new.get(key), f"{path}.{key}".strip("."))]
    return [] if old == new else [f"{path.replace('.init_args', '')}: {old} -> {new}"]
