"""What pretrained towers settle: settings of language models, between the default config and those of the user."""

from collections.abc import Sequence
from typing import Any

from mot_lightning.config.hints import did_you_mean
from mot_lightning.config.merge import Override, merge
from mot_lightning.config.paths import absolute_or_name
from mot_lightning.errors import ConfigError

Config = dict[str, Any]


def with_language_models(base: Config, layers: Sequence[Config | None]) -> list[Config | None]:
    """The layers over a base, with one more under them that has what the pretrained towers settle, if there are any.

    What a user sets stays over it, so that a contradiction reaches the model, which refuses it.

    Raises:
        ConfigError: a language model cannot be read, or is for a modality that does not exist.
    """
    start = 1 + max((i for i, layer in enumerate(layers) if layer is None), default=-1)
    config: Any = {} if start else base
    for layer in layers[start:]:
        config = merge(config, layer)
    model = config.get("model") if isinstance(config.get("model"), dict) else {}
    modalities = model.get("modalities") or {}
    settled: list[Config | None] = []
    for name, spec in spelled_out(model.get("pretrained")).items():
        if name not in modalities:
            close = did_you_mean(name, modalities) or f", wanted one of {', '.join(modalities)}"
            raise ConfigError(f"model.pretrained names {name!r}{close}")
        settled.append({"model": _settled(name, spec["name_or_path"])})
    return [*layers[:start], *settled, *layers[start:]]


def spelled_out(pretrained: Any) -> dict[str, Config]:
    """`model.pretrained` with a mapping for each modality, and absolute paths."""
    if not isinstance(pretrained, dict | None):
        raise ConfigError(f"model.pretrained is {pretrained!r}, wanted a mapping of modalities to language models")
    specs = {}
    for name, spec in (pretrained or {}).items():
        path = f"model.pretrained.{name}"
        spec = {"name_or_path": spec} if isinstance(spec, str) else spec
        if not isinstance(spec, dict) or not isinstance(spec.get("name_or_path"), str):
            raise ConfigError(f"{path} is {spec!r}, wanted a folder or a name on the hub, or name_or_path and copy_to")
        specs[name] = {**spec, "name_or_path": absolute_or_name(spec["name_or_path"], path)}
    return specs


def _settled(name: str, name_or_path: str) -> Config:
    from mot_lightning.config.recorded import class_spec
    from mot_lightning.interop import LanguageModel

    try:
        source = LanguageModel(name_or_path)
        modality = {"codec": class_spec(source.codec()), "objective": class_spec(source.objective())}
    except ValueError as error:
        raise ConfigError(str(error)) from error
    scaling = source.backbone["rope_scaling"]
    backbone = {**source.backbone, "rope_scaling": Override(scaling) if isinstance(scaling, dict) else scaling}
    return {"backbone": backbone, "modalities": {name: modality}}
