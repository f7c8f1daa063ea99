"""Diffusers schedulers from class_path and init_args. Knows schedulers, not models."""

import inspect
from importlib import import_module
from typing import Any

import torch


def scheduler_config(default: dict[str, Any], setting: dict[str, Any] | str | None) -> dict[str, Any]:
    """The setting merged into the default; for another class, the default's init_args are dropped."""
    setting = {"class_path": setting} if isinstance(setting, str) else setting or {}
    name, default_name = (
        str(config.get("class_path", default["class_path"])).removeprefix("diffusers.") for config in (setting, default)
    )
    if name != default_name:
        return setting
    return {**default, "init_args": {**default.get("init_args", {}), **setting.get("init_args", {})}}


def make_scheduler(config: dict[str, Any]) -> Any:
    """Build a diffusers scheduler.

    Args:
        config: `class_path`, a class of diffusers ("diffusers.DDIMScheduler" or "DDIMScheduler"), and `init_args`.

    Raises:
        ValueError: the scheduler or one of its arguments does not exist.
    """
    name = str(config.get("class_path")).removeprefix("diffusers.")
    arguments = config.get("init_args") or {}
    try:
        scheduler = getattr(import_module("diffusers"), name)
    except (AttributeError, ImportError):
        raise ValueError(f"scheduler {config.get('class_path')!r} is not a scheduler of diffusers") from None
    if not hasattr(scheduler, "step"):
        raise ValueError(f"scheduler {config.get('class_path')!r} is not a scheduler of diffusers")
    known = set(inspect.signature(scheduler.__init__).parameters)
    unknown = sorted(set(arguments) - known)
    if unknown:
        raise ValueError(f"{name} has no argument {unknown[0]!r}, wanted one of {', '.join(sorted(known - {'self'}))}")
    try:
        return scheduler(**arguments)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(f"{name} refuses its init_args: {error}") from None


def check_flow(config: dict[str, Any]) -> None:
    """Raises ValueError if a scheduler does not sample by velocities on straight paths."""
    scheduler = make_scheduler(config)
    name, settings = type(scheduler).__name__, scheduler.config
    # without flow sigmas, the steps of the others are those of a diffusion, whatever they take the prediction for
    flows = settings.get("prediction_type") == "flow_prediction" and settings.get("use_flow_sigmas")
    if not name.startswith("FlowMatch") and not flows:
        other = "one with prediction_type flow_prediction and use_flow_sigmas"
        raise ValueError(f"scheduler {name} is not for flow matching, wanted one of FlowMatch...Scheduler, or {other}")


def check_scheduler(config: dict[str, Any], steps: int) -> None:
    """Raises ValueError if a scheduler cannot sample in `steps` steps, or cannot make a step with one model output."""
    scheduler = make_scheduler(config)
    name, x_t = type(scheduler).__name__, torch.zeros(1, 1, 1)
    try:
        scheduler.set_timesteps(steps)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} cannot sample in {steps} steps: {error}") from None
    try:
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(x_t, scheduler.timesteps[0])
        options = {"generator": torch.Generator()} if takes_generator(scheduler) else {}
        scheduler.step(x_t, scheduler.timesteps[0], x_t, **options)
    except Exception as error:  # schedulers of diffusers raise errors of many types
        raise ValueError(f"{name} cannot make a step: {' '.join(str(error).split())}") from None


def accepts(scheduler: Any, argument: str) -> bool:
    """Whether the scheduler's `__init__` has this argument."""
    return argument in inspect.signature(type(scheduler).__init__).parameters


def takes_generator(scheduler: Any) -> bool:
    """Whether the scheduler's `step` takes a generator, to sample noise."""
    return "generator" in inspect.signature(scheduler.step).parameters
