"""What made an evaluation: checkpoint, config, samplers and versions; nothing of the day or the machine."""

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mot_lightning.model import MixtureOfTransformers

PACKAGES = ("mot_lightning", "torch", "torchmetrics", "torchvision", "torchaudio", "diffusers", "transformers", "numpy")


def provenance(
    path: Path, checkpoint: Mapping[str, Any], model: MixtureOfTransformers, **settings: Any
) -> dict[str, Any]:
    """Plain values.

    Args:
        path: of the checkpoint.
        settings: of the evaluation, such as split, seeds and guidance.
    """
    config = checkpoint["config"]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        **settings,
        "checkpoint": {"path": str(path), "sha256": digest, "step": checkpoint.get("global_step")},
        "samplers": {name: _sampler(objective) for name, objective in model.objectives.items()},
        "codecs": {name: codec.get("weights") for name, codec in checkpoint.get("codecs", {}).items()},
        "versions": {"python": platform.python_version(), **_versions()},
        "config_sha256": hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest(),
        "config": config,
    }


def _sampler(objective: Any) -> dict[str, Any]:
    sampler: dict[str, Any] = {"objective": type(objective).__name__}
    if hasattr(objective, "steps"):
        sampler["steps"] = objective.steps
    if hasattr(objective, "scheduler"):
        sampler["scheduler"] = objective.scheduler
    return sampler


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a folder that is not installed
            versions[package] = "not installed"
    return versions
