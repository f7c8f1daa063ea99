"""Controlled experiments with Mixture-of-Transformers on PyTorch Lightning: `import mot_lightning as mot`.

A name is imported when it is first used, so that `--help` needs no torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mot_lightning.backbone import BackboneSettings, MoESettings
    from mot_lightning.codecs import (
        BPE,
        RAE,
        VAE,
        VQ,
        Bytes,
        Codec,
        HFTokenizer,
        HubertUnits,
        ImageFeatures,
        LogMelUnits,
        MelLatents,
        NeuralCodec,
        Patches,
        PatchUnits,
        Standardized,
    )
    from mot_lightning.errors import ConfigError
    from mot_lightning.generation import GenerationSettings
    from mot_lightning.modality import Modality
    from mot_lightning.module import MoTModule
    from mot_lightning.objectives import (
        Diffusion,
        FlowMatching,
        MaskedToken,
        NextLatent,
        NextToken,
        Objective,
        Observed,
        Regression,
    )
    from mot_lightning.pipeline import MoTPipeline
    from mot_lightning.training.optimizer import OptimizerSettings
    from mot_lightning.training.part_settings import PartSettings

__version__ = version("mot_lightning")

_HOMES = {  # of the public names
    "backbone": ("BackboneSettings", "MoESettings"),
    "codecs": ("BPE", "RAE", "VAE", "VQ", "Bytes", "Codec", "HFTokenizer", "HubertUnits", "ImageFeatures",
               "LogMelUnits", "MelLatents", "NeuralCodec", "PatchUnits", "Patches", "Standardized"),
    "errors": ("ConfigError",),
    "generation": ("GenerationSettings",),
    "modality": ("Modality",),
    "module": ("MoTModule",),
    "objectives": ("Diffusion", "FlowMatching", "MaskedToken", "NextLatent", "NextToken", "Objective", "Observed",
                   "Regression"),
    "pipeline": ("MoTPipeline",),
    "training.optimizer": ("OptimizerSettings",),
    "training.part_settings": ("PartSettings",),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "BPE",
    "RAE",
    "VAE",
    "VQ",
    "BackboneSettings",
    "Bytes",
    "Codec",
    "ConfigError",
    "Diffusion",
    "FlowMatching",
    "GenerationSettings",
    "HFTokenizer",
    "HubertUnits",
    "ImageFeatures",
    "LogMelUnits",
    "MaskedToken",
    "MelLatents",
    "MoESettings",
    "MoTModule",
    "MoTPipeline",
    "Modality",
    "NeuralCodec",
    "NextLatent",
    "NextToken",
    "Objective",
    "Observed",
    "OptimizerSettings",
    "PartSettings",
    "PatchUnits",
    "Patches",
    "Regression",
    "Standardized",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        from mot_lightning.config.hints import did_you_mean

        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{did_you_mean(name, __all__)}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
