"""Settings of Lightning's Trainer that it would refuse in words of its own, or not at all."""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.strategies import StrategyRegistry

from mot_lightning.config.hints import did_you_mean
from mot_lightning.errors import ConfigError
from mot_lightning.training import sharding  # noqa: F401  registers fsdp2

PROFILERS = ("simple", "advanced", "pytorch", "xla")
MAX_NODES = 10_000
DURATION = {"weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds"}


def check_settings(trainer: Mapping[str, Any]) -> None:
    """Raises ConfigError for a name that the Trainer does not know, or a number that it cannot use."""
    for name, choices in (
        ("strategy", ("auto", *StrategyRegistry.available_strategies())),
        ("accelerator", ("auto", "gpu", *sorted(AcceleratorRegistry.available_accelerators()))),
        ("profiler", PROFILERS),
    ):
        value = trainer.get(name)
        if isinstance(value, str) and value not in choices:
            usual = [choice for choice in choices if choice.count("_") < 2]
            close = did_you_mean(value, choices) or f", wanted one of {', '.join(usual)}"
            raise ConfigError(f"trainer.{name} is {value!r}{close}")
    _check_ranks(trainer)
    clip = trainer.get("gradient_clip_val")
    if isinstance(clip, int | float) and not clip >= 0:  # nor NaN
        raise ConfigError(f"trainer.gradient_clip_val is {clip}, wanted 0 (off) or more")
    if isinstance(limit := trainer.get("max_time"), Mapping):
        try:
            timedelta(**limit)
        except (TypeError, OverflowError):
            units = ", ".join(sorted(DURATION))
            raise ConfigError(f"trainer.max_time is {limit}, wanted numbers of {units}") from None


def _check_ranks(trainer: Mapping[str, Any]) -> None:
    nodes, devices = trainer.get("num_nodes", 1), trainer.get("devices", "auto")
    if isinstance(nodes, int) and not 1 <= nodes <= MAX_NODES:
        raise ConfigError(f"trainer.num_nodes is {nodes}, wanted from 1 to {MAX_NODES:,}")
    on_cpu = trainer.get("accelerator", "auto") == "cpu" or not (
        torch.cuda.is_available() or torch.backends.mps.is_available()
    )
    if not on_cpu or devices == "auto":
        return
    most = max(16, os.cpu_count() or 1)  # each is a process with a model of its own
    number = int(devices) if isinstance(devices, str) and devices.strip().isdecimal() else devices
    if type(number) is not int or not 1 <= number <= most:
        raise ConfigError(f"trainer.devices is {devices!r}, wanted auto, or processes on the CPU from 1 to {most}")
