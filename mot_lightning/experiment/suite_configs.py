"""The config of each arm of a suite, resolved before any run, and kept: a suite goes on with the same ones."""

from pathlib import Path
from typing import Any

import yaml

from mot_lightning.analysis.compare.recorded import MIN_POINTS
from mot_lightning.analysis.suite.planned import PlannedRun
from mot_lightning.analysis.suite.settings import Suite
from mot_lightning.config.merge import diff
from mot_lightning.errors import ConfigError
from mot_lightning.experiment.resolve import resolve
from mot_lightning.runs.atomic import write_text

KEPT = "configs.yaml"
FREE = ("accelerator", "enable_progress_bar", "num_workers")  # may change on the way


def configs_of(suite: Suite) -> dict[str, dict[str, Any]]:
    """By arm and size.

    Raises:
        ConfigError: a file or a setting does not fit, or a claim names a modality that an arm does not have.
    """
    configs = {}
    for arm in suite.arms:
        for size in suite.sizes:
            run = PlannedRun(suite, Path(), arm, suite.learning_rates[0], suite.seeds[0], size=size)
            settings = dict(run.settings)
            allow = [settings.pop("allow")] if "allow" in settings else []
            init_from = settings.pop("init_from", None)
            try:
                config = resolve(list(map(Path, run.configs)), [*settings.items()], allow)
            except ConfigError as error:
                raise ConfigError(f"{f'{arm} {size}'.strip()}: {error}") from None
            name = f"{arm} {size}".strip()
            _check_validations(name, config["trainer"])
            start = {"init_from": init_from} if init_from else {}
            configs[name] = {**config, "sweep_steps": suite.sweep_steps, **start}
        _check_sizes(arm, {size: configs[f"{arm} {size}".strip()] for size in suite.sizes})
    modalities = {name for config in configs.values() for name, of in config["model"]["modalities"].items() if of}
    for claim in suite.claims:
        for name in {claim.modality, *([claim.bound[1]] if isinstance(claim.bound, tuple) else [])}:
            if name not in modalities:
                raise ConfigError(
                    f"claim {claim.claim!r} names {name!r}, wanted one of {', '.join(sorted(modalities))}"
                )
    return configs


def _check_sizes(arm: str, configs: dict[str, dict[str, Any]]) -> None:
    """Raises ConfigError if two sizes have one width and depth, by which runs are told apart."""
    seen: dict[tuple[Any, Any], str] = {}
    for size, config in configs.items():
        backbone = config["model"].get("backbone") or {}
        width_and_depth = backbone.get("dim"), backbone.get("depth")
        if (other := seen.setdefault(width_and_depth, size)) != size:
            raise ConfigError(
                f"sizes {other} and {size} of {arm} both have dim {width_and_depth[0]} and depth {width_and_depth[1]}, "
                "wanted another one in either size: runs are told apart by these"
            )


def _check_validations(name: str, trainer: dict[str, Any]) -> None:
    """Raises ConfigError if the runs of an arm would have too few validations to be compared."""
    interval, steps = trainer.get("val_check_interval"), trainer.get("max_steps")
    if not isinstance(interval, int) or not isinstance(steps, int) or min(interval, steps) < 1:  # as a run says itself
        return
    if steps < MIN_POINTS:
        raise ConfigError(f"{name}: trainer.max_steps is {steps}, wanted at least {MIN_POINTS}, a validation at each")
    if steps // interval < MIN_POINTS:
        raise ConfigError(
            f"{name}: trainer.val_check_interval is {interval}, wanted at most {steps // MIN_POINTS}: "
            f"trainer.max_steps is {steps}, with {MIN_POINTS} or more validations"
        )


def check_begun(configs: dict[str, dict[str, Any]], out: Path) -> None:
    """Raises ConfigError if a suite began with other configs in its folder: their runs would be taken for these."""
    for name, config in _kept(out).items():
        lines = [line for line in diff(config, configs.get(name, config)) if _of_results(line)]
        if lines:
            more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
            raise ConfigError(
                f"{out} has runs of {name} with another {lines[0]}{more}, wanted the same, or a new --out"
            )


def _of_results(line: str) -> bool:
    """Whether a line of `diff` is of a setting that results depend on."""
    return line.partition(":")[0].rpartition(".")[2] not in FREE


def keep(configs: dict[str, dict[str, Any]], out: Path) -> None:
    """Write the configs beside the runs.

    Raises:
        NotWritten: the system refused it.
    """
    plain = {name: yaml.safe_load(yaml.safe_dump(config)) for name, config in configs.items()}
    write_text(out / KEPT, yaml.safe_dump({**_kept(out), **plain}, sort_keys=False, allow_unicode=True))


def _kept(out: Path) -> dict[str, Any]:
    path = out / KEPT
    try:
        return dict(yaml.safe_load(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}, wanted that of a suite") from None
