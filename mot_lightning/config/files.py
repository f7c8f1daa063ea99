"""Config files: where they are, how they are read, and their bases."""

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mot_lightning.config.hints import did_you_mean
from mot_lightning.config.merge import Override, nested
from mot_lightning.config.paths import absolute
from mot_lightning.errors import ConfigError


class Loader(yaml.SafeLoader):
    """YAML with `!override`, with 1e-3 as a number, and without a key that occurs twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        for key, count in Counter(keys).items():
            if count > 1:
                raise yaml.constructor.ConstructorError(problem=f"key {key} occurs {count} times{node.start_mark}")
        return super().construct_mapping(node, deep)


Loader.add_constructor(
    "!override",
    lambda loader, node: Override(
        loader.construct_mapping(node, deep=True)
        if isinstance(node, yaml.MappingNode)
        else loader.construct_sequence(node, deep=True)
        if isinstance(node, yaml.SequenceNode)
        else loader.construct_scalar(node)
    ),
)
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


MAX_NODES = 100_000  # of a config: aliases of aliases make a small file a large one


class Layers(NamedTuple):
    """The contents of a config file and of its bases, from the lowest base to the file itself."""

    configs: list[dict[str, Any]]
    on_default: bool  # whether conf/default.yaml is the base of the lowest


def conf_folder() -> Path:
    """The conf/ folder of a checkout or an installed package."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "default.yaml").is_file():
            return folder
    raise ConfigError("conf/default.yaml is missing from this installation")


def read_default() -> dict[str, Any]:
    """The content of conf/default.yaml."""
    return read_yaml(conf_folder() / "default.yaml")


def read_layers(path: Path, derived: tuple[Path, ...] = ()) -> Layers:
    """A config and its bases; `base` in a config is a path relative to its folder, conf/..., or null for no base.

    Args:
        path: a config file, or "-" for standard input.
        derived: configs that build on this one, to detect cycles.

    Raises:
        ConfigError: a file is missing, is not YAML, or is its own base.
    """
    path = path if str(path) == "-" else find(path, f"base of {derived[-1]}:" if derived else "--config")
    if path in derived:
        raise ConfigError(f"--config {derived[0]}: base of {path} leads back to it, wanted bases without a cycle")
    config = read_yaml(path)
    if "base" not in config:
        return Layers([config], on_default=True)
    base = config.pop("base")
    if base is None:
        return Layers([config], on_default=False)
    if not isinstance(base, str):
        raise ConfigError(f"base of {path} is {base!r}, wanted the path of a config, or null")
    beside = path.parent / base
    bases = read_layers(beside if beside.is_file() else Path(base), (*derived, path))
    return Layers([*bases.configs, config], bases.on_default)


def find(path: Path, argument: str = "--config") -> Path:
    """The path of a config file; conf/... names the shipped configs in any working directory.

    Args:
        argument: what the error message calls the path.

    Raises:
        ConfigError: there is no such file.
    """
    given = absolute(path, argument)
    if given.is_dir():
        raise ConfigError(f"{argument} {path} is a folder, wanted a YAML file")
    if given.is_file():
        return given.resolve()
    shipped = conf_folder()
    if path.parts[:1] == ("conf",) and (shipped / Path(*path.parts[1:])).is_file():
        return shipped / Path(*path.parts[1:])
    known = sorted(str(Path("conf") / file.relative_to(shipped)) for file in shipped.rglob("*.yaml"))
    raise ConfigError(f"{argument} {path} does not exist{did_you_mean(str(path), known)}")


def read_yaml(path: Path, argument: str = "--config") -> dict[str, Any]:
    """A mapping from a YAML file, or from standard input for "-"; dotted keys become nested mappings.

    Args:
        argument: as in `find`.

    Raises:
        ConfigError: the file is not YAML, or not a mapping.
    """
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        content = _load(text) or {}
    except OSError as error:
        raise ConfigError(f"{argument} {path} cannot be read: {error.strerror}") from None
    except ConfigError as error:
        raise ConfigError(f"{argument} {path}: {' '.join(str(error).split())}") from None
    except Exception as error:  # PyYAML raises errors of many types for values that do not fit their tags
        raise ConfigError(f"{argument} {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{argument} {path} holds a {type(content).__name__}, wanted a mapping")
    return nested(content)


def parse_value(text: str) -> Any:
    """The value of a command line option, parsed as YAML; invalid YAML stays text.

    Raises:
        ConfigError: its aliases lead back to it, or it is too large.
    """
    try:
        return nested(_load(text))
    except ConfigError:
        raise
    except Exception:  # PyYAML raises errors of many types for values that do not fit their tags
        return text


def _load(text: str) -> Any:
    """The content of YAML.

    Raises:
        ConfigError: with its aliases in full, it has no end or more than `MAX_NODES` values.
    """
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _size(node, {}, ())
        return loader.construct_document(node)
    except RecursionError:
        raise ConfigError("YAML is nested too deeply, wanted a config") from None
    finally:
        loader.dispose()


def _size(node: yaml.Node, sizes: dict[int, int], above: tuple[int, ...]) -> int:
    """The number of values in a node, with its aliases in full."""
    if id(node) in above:
        raise ConfigError(f"YAML has an alias that leads back to itself{node.start_mark}, wanted a tree")
    if id(node) not in sizes:
        pairs = node.value if isinstance(node, yaml.CollectionNode) else ()
        children = [child for pair in pairs for child in (pair if isinstance(pair, tuple) else (pair,))]
        size = 1 + sum(_size(child, sizes, (*above, id(node))) for child in children)
        if size > MAX_NODES:
            raise ConfigError(f"YAML has over {MAX_NODES:,} values with its aliases in full, wanted fewer")
        sizes[id(node)] = size
    return sizes[id(node)]
