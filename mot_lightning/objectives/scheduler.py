"""A diffusers scheduler from its class_path and init_args; nothing of models."""

import inspect
from importlib import import_module
from typing import Any

import torch


def scheduler_config(default: dict[str, Any], given: dict[str, Any] | str | None) -> dict[str, Any]:
    """What was given laid over the default: another class drops the default's init_args."""
    given = {"class_path": given} if isinstance(given, str) else given or {}
    own, wanted = (str(c.get("class_path", default["class_path"])).removeprefix("diffusers.") for c in (default, given))
    if own != wanted:
        return given
    return {**default, "init_args": {**default.get("init_args", {}), **given.get("init_args", {})}}


def make_scheduler(config: dict[str, Any]) -> Any:
    """Build a diffusers scheduler.

    Args:
        config: `class_path`, a class of diffusers ("diffusers.DDIMScheduler" or "DDIMScheduler"), and `init_args`.

    Raises:
        ValueError: no such scheduler, or it does not know an argument.
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
        raise ValueError(f"{name} does not know {unknown[0]!r}, wanted one of {', '.join(sorted(known - {'self'}))}")
    try:
        return scheduler(**arguments)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(f"{name} refuses its init_args: {error}") from None


def check_scheduler(config: dict[str, Any], steps: int) -> None:
    """Raises ValueError where a scheduler cannot sample in so many steps, or cannot step from such a prediction."""
    scheduler = make_scheduler(config)
    name, x_t = type(scheduler).__name__, torch.zeros(1, 1, 1)
    try:
        scheduler.set_timesteps(steps)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} cannot sample in {steps} steps: {error}") from None
    try:
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(x_t, scheduler.timesteps[0])
        draws = {"generator": torch.Generator()} if takes_generator(scheduler) else {}
        scheduler.step(x_t, scheduler.timesteps[0], x_t, **draws)
    except Exception as error:  # each scheduler of diffusers refuses in its own way
        raise ValueError(f"{name} cannot make a step: {' '.join(str(error).split())}") from None


def accepts(scheduler: Any, argument: str) -> bool:
    """Whether its class can be made with an argument of this name."""
    return argument in inspect.signature(type(scheduler).__init__).parameters


def takes_generator(scheduler: Any) -> bool:
    """Whether a step of it draws noise."""
    return "generator" in inspect.signature(scheduler.step).parameters
