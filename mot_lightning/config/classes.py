"""Which classes a config may name: the project's by bare name, those of allowed packages by import path."""

import importlib.util
import inspect
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from mot_lightning.config.hints import did_you_mean, did_you_mean_setting
from mot_lightning.errors import ConfigError

# packages whose exported classes go by their bare names
SHORT_NAMES = (
    "mot_lightning.objectives",
    "mot_lightning.codecs",
    "datamodules",
    "datamodules.sources",
    "datamodules.columns",
    "mot_lightning.callbacks",
)
OURS = ("mot_lightning", "datamodules")
# whose classes may be named by import path as well
DATA_SETS = ("torchvision.datasets", "torchaudio.datasets")
# those of torchmetrics.multimodal would run code of the hub
METRICS = ("torchmetrics.image", "torchmetrics.text", "torchmetrics.audio")
LIBRARIES = ("lightning", "diffusers", "torchvision.transforms", "torchaudio.transforms", *DATA_SETS, *METRICS)


def same_class(a: Any, b: Any) -> bool:
    """Whether two class paths name the same class; nothing is imported. What is no text names none."""
    if not (isinstance(a, str) and isinstance(b, str)):
        return False
    return a == b or (_is_ours(a) and _is_ours(b) and a.rpartition(".")[2] == b.rpartition(".")[2])


def _is_ours(path: str) -> bool:
    return "." not in path or path.partition(".")[0] in OURS


def find_class(path: str, allow: Iterable[str] = ()) -> type:
    """The class that a class_path names: the project's by bare name, those of allowed packages by import path.

    Raises:
        ConfigError: there is no such class, or its package is not allowed.
    """
    package = path.partition(".")[0]
    if "." in path and package not in OURS and not any(path.startswith(f"{prefix}.") for prefix in allow):
        raise ConfigError(
            f"class {path!r} is outside the allowed packages: add --allow {package} to use it, "
            f"or in Python allow=[{package!r}]"
        )
    candidates = [path] if "." in path else [f"{home}.{path}" for home in SHORT_NAMES]
    for candidate in candidates:
        module, _, name = candidate.rpartition(".")
        try:
            member = getattr(_imported(module), name, None)
        except ImportError as error:
            raise ConfigError(f"class {path!r} cannot be imported: {error}") from None
        if isinstance(member, type):
            return member
    if "." in path:
        module, _, name = path.rpartition(".")
        members = [member for member, value in vars(_imported(module)).items() if isinstance(value, type)]
        raise ConfigError(f"there is no class {path!r}{did_you_mean(name, members)}")
    known = [name for home in SHORT_NAMES[:-1] for name in _imported(home).__all__]
    close = did_you_mean(path.rpartition(".")[2], known) or f", wanted one of {', '.join(sorted(known))}"
    raise ConfigError(f"there is no class {path!r}{close}")


def check_arguments(
    path: str, kind: type, arguments: Collection[str], linked: Collection[str] = (), listed: bool = False
) -> None:
    """Raises ConfigError if a class has no argument of a name, or one that it needs is not given.

    Args:
        path: the dotted name of the setting that names the class.
        arguments: their names.
        linked: names of arguments that are set elsewhere.
        listed: whether the setting is a list of classes, so that no dotted name leads to an argument.
    """
    parameters = inspect.signature(kind).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    for name in arguments:
        if name not in parameters and inspect.Parameter.VAR_KEYWORD not in kinds:
            known = argument_names(kind)
            if listed:
                raise ConfigError(f"{path}: {kind.__name__} has no argument {name!r}{did_you_mean(name, known)}")
            hint = did_you_mean_setting(name, [f"{path}.{argument}" for argument in known])
            raise ConfigError(f"there is no setting '{path}.{name}' of {kind.__name__}{hint}")
    for name, parameter in parameters.items():
        gathers = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        if parameter.default is inspect.Parameter.empty and not gathers and name not in {*arguments, *linked}:
            form = f"{{class_path: {kind.__name__}, init_args: {{{name}: ...}}}}" if listed else f"--{path}.{name}=..."
            raise ConfigError(f"{path}: {kind.__name__} needs a value for {name}, wanted {form}")


def class_path_of(name: str, spec: Mapping[str, Any]) -> str:
    """The class path of a class with its arguments. Raises ConfigError if one of the two is of a wrong type."""
    path, arguments = spec.get("class_path"), spec.get("init_args")
    if not isinstance(path, str) or not path:
        raise ConfigError(f"{name} is {dict(spec)}, wanted the name of a class, or {{class_path: NAME}}")
    if not isinstance(arguments, Mapping | None):
        raise ConfigError(f"{name} has init_args {arguments!r}, wanted a mapping of settings")
    return path


def check_keys(path: str, spec: Mapping[str, Any]) -> None:
    """Raises ConfigError if a class has other keys than class_path and init_args."""
    for key in spec.keys() - {"class_path", "init_args"}:
        raise ConfigError(f"{path} has {key!r} of {spec['class_path']}, wanted its arguments in init_args")


def argument_names(kind: type) -> set[str]:
    """The names of a class's arguments, and as `argument.field` those of the fields of arguments that have some."""
    names = set()
    for name, parameter in inspect.signature(kind).parameters.items():
        names.add(name)
        if is_dataclass(parameter.annotation):
            names |= {f"{name}.{field.name}" for field in fields(parameter.annotation)}
    return names


def class_names() -> list[str]:
    """The bare names of all classes of the project."""
    return [name for home in SHORT_NAMES for name in _imported(home).__all__]


def _imported(module: str) -> ModuleType:
    """Import a module; `datamodules` is the project's, even if the working directory has a package of that name."""
    if module.partition(".")[0] == "datamodules" and "datamodules" not in sys.modules:
        root = Path(__file__).resolve().parents[2]
        spec = importlib.util.spec_from_file_location("datamodules", root / "datamodules" / "__init__.py")
        if spec is not None and spec.loader is not None:
            sys.modules["datamodules"] = package = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(package)
    return import_module(module)


def check_classes(config: Any, allow: Iterable[str] = ()) -> None:
    """Raises ConfigError if a class that a config names anywhere cannot be imported or is not allowed."""
    if isinstance(config, Mapping):
        path = config.get("class_path")
        trusted = ("torch.optim.", *(f"{library}." for library in LIBRARIES))
        if isinstance(path, str) and "." in path and not path.startswith(trusted):
            find_class(path, allow)
        for item in config.values():
            check_classes(item, allow)
    elif isinstance(config, list):
        for item in config:
            check_classes(item, allow)
