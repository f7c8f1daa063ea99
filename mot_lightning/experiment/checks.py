"""Checks before a run begins, of errors that would otherwise show too late."""

from typing import Any

import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler

from mot_lightning.config.classes import LIBRARIES, OURS
from mot_lightning.config.hints import did_you_mean
from mot_lightning.errors import ConfigError, describe
from mot_lightning.evaluation.measure import default_metrics
from mot_lightning.experiment.build import Experiment
from mot_lightning.module import MoTModule
from mot_lightning.noise import Noise
from mot_lightning.sequence.packing import assign_rows
from mot_lightning.training.codec_module import CodecModule
from mot_lightning.training.sharding import FSDP2

FIRST_DOCUMENTS = 16  # of each split, whose lengths are checked


def check(experiment: Experiment, command: str) -> None:
    """Raises ConfigError if a run cannot work; loads the data and checks one medium of each modality."""
    if command == "fit":
        _check_trainer(experiment)
        _check_callbacks(experiment)
    _check_data(experiment)
    _report_empty_splits(experiment, command)
    if command in ("fit", "inspect", "encode"):
        _fit_codecs(experiment)
        _check_objectives(experiment)
    _check_lengths(experiment)
    if command in ("fit", "test", "evaluate"):
        _check_metrics(experiment)


def _check_trainer(experiment: Experiment) -> None:
    trainer: Any = experiment.trainer
    module = experiment.module
    epochs, batches = trainer.max_epochs, trainer.limit_train_batches
    if trainer.max_steps < 1 and not (trainer.max_steps == -1 and epochs and epochs > 0):
        raise ConfigError(f"trainer.max_steps is {trainer.max_steps}, wanted at least 1")
    if epochs and epochs > 0 and not isinstance(batches, int) and not trainer.fast_dev_run:
        raise ConfigError(
            f"trainer.max_epochs is {epochs}, wanted trainer.limit_train_batches too, the batches of an epoch: "
            "the training data have no end"
        )
    accumulated = trainer.accumulate_grad_batches
    if accumulated < 1:
        raise ConfigError(f"trainer.accumulate_grad_batches is {accumulated}, wanted at least 1")
    if any(isinstance(callback, GradientAccumulationScheduler) for callback in trainer.callbacks):
        raise ConfigError("trainer.callbacks has GradientAccumulationScheduler, wanted trainer.accumulate_grad_batches")
    if isinstance(batches, int) and batches % accumulated and not trainer.fast_dev_run:
        limit = "overfit_batches" if trainer.overfit_batches else "limit_train_batches"
        raise ConfigError(
            f"trainer.{limit} is {batches}, wanted a multiple of trainer.accumulate_grad_batches, "
            f"{accumulated}: an epoch ends with a step"
        )
    if isinstance(trainer.overfit_batches, float) and trainer.overfit_batches:
        raise ConfigError(f"trainer.overfit_batches is {trainer.overfit_batches}, wanted a whole number of batches")
    if trainer.check_val_every_n_epoch is not None and not trainer.fast_dev_run:
        raise ConfigError(
            f"trainer.check_val_every_n_epoch is {trainer.check_val_every_n_epoch}, wanted null: "
            "val_check_interval counts steps, whatever the epochs"
        )
    every = trainer.val_check_interval
    if not (isinstance(every, int) and every >= 1) and not trainer.fast_dev_run:
        raise ConfigError(f"trainer.val_check_interval is {every}, wanted steps, at least 1")
    if isinstance(trainer.strategy, FSDP2) and isinstance(module, MoTModule) and module.optimizer.combines:
        raise ConfigError("model.optimizer.algorithm is Muon, wanted one whose state fsdp2 can save, such as AdamW")
    # flex attention has no backward pass on the CPU
    flex = isinstance(module, MoTModule) and module.model.backbone.settings.attention == "flex"
    if flex and trainer.strategy.root_device.type == "cpu":
        raise ConfigError("model.backbone.attention is flex, wanted auto, sdpa or blockwise to train on the CPU")


def _check_callbacks(experiment: Experiment) -> None:
    callbacks: list[Any] = experiment.trainer.callbacks  # type: ignore[attr-defined]
    only_known = all(type(callback).__module__.partition(".")[0] in (*OURS, *LIBRARIES) for callback in callbacks)
    known = _logged(experiment.module) | _logged_by_source(experiment)
    for callback in callbacks:
        name, monitor = type(callback).__name__, getattr(callback, "monitor", None)
        if monitor is not None and only_known and monitor not in known:  # callbacks of users may log any metric
            choices = did_you_mean(monitor, known) or f", wanted one of {', '.join(sorted(known))}"
            raise ConfigError(f"{name} monitors {monitor!r}, which no step logs{choices}")


def _logged(module: MoTModule | CodecModule) -> set[str]:
    """The metrics that training and validation log."""
    if isinstance(module, CodecModule):
        quantities = {"loss", *module.codec.quality(torch.zeros(2, *module.codec.shape))}
        names = {f"val/{module.modality}/{quantity}" for quantity in quantities}
        return {"val/loss", f"train/{module.modality}/loss", *names}
    names = {"train/learning_rate", "train/loss", "val/loss"}
    for name, objective in module.model.objectives.items():
        names.add(f"train/{name}/grad_norm")
        if not objective.predicts:
            continue
        quantities = {"loss", *(module.codecs[name].metrics(1.0, 1.0, 1.0) if objective.discrete else ())}
        names |= {f"{stage}/{name}/{quantity}" for stage in ("train", "val") for quantity in quantities}
    parts = {part for part in module.optimizer.parts_of(module.model).values() if not part.settings.freeze}
    names |= {f"train/{part.name}/learning_rate" for part in parts}
    experts = {name: mixture.settings.count for name, mixture in module.experts.items()}
    return names | {f"train/experts/{name}/{i}" for name, count in experts.items() for i in range(count)}


def _logged_by_source(experiment: Experiment) -> set[str]:
    """The losses of each of several sources, and what is counted of it in training."""
    module, sources = experiment.module, getattr(experiment.data, "sources_by_name", {})
    if isinstance(module, CodecModule) or len(sources) < 2:
        return set()
    losses = ["loss", *(f"{name}/loss" for name in module.model.grammar.predicted)]
    names = {f"{stage}/source/{one}/{loss}" for stage in ("train", "val") for one in sources for loss in losses}
    return names | {f"train/source/{one}/{count}" for one in sources for count in ("documents", "epochs")}


def _check_data(experiment: Experiment) -> None:
    module, data = experiment.module, experiment.data
    try:
        data.prepare_data()
        data.setup("fit")
        encoded: set[str] = set()  # names of codecs that come with the data
        if isinstance(module, MoTModule):
            data.check_roles(module.codecs)
            encoded = data.load_codecs(module.codecs, module.fitted_codecs)
            module.fitted_codecs |= encoded
        for name, codec in module.codecs.items():
            if name in encoded:
                continue
            media = data.media(name, "train")
            if not len(media):
                raise ConfigError(f"data has 0 media of {name!r} to train on, wanted at least 1")
            try:
                codec.check(media[0])
            except ValueError as error:
                raise ConfigError(f"model.modalities.{name}.codec is {type(codec).__name__}: {error}") from error
        if isinstance(module, MoTModule):
            data.connect(dict(module.codecs), module.model.grammar)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _report_empty_splits(experiment: Experiment, command: str) -> None:
    module, data = experiment.module, experiment.data
    without = {"val": "no validation, no best.ckpt and no samples", "test": "no test and no report"}
    for split in {"validate": ("val",), "test": ("test",)}.get(command, ("val", "test")):
        trains_codec = isinstance(module, CodecModule)
        size = len(data.media(module.modality, split)) if trains_codec else data.size(split)
        if 0 < size < experiment.trainer.world_size:
            raise ConfigError(f"the {split} split has {size} items, wanted at least one for each rank, or none")
        if not size:
            print(f"the {split} split is empty: {without[split]}")


def _check_lengths(experiment: Experiment) -> None:
    """Raises ConfigError if one of the first documents of a split cannot be read, or is longer than a row."""
    data = experiment.data
    if not isinstance(experiment.module, MoTModule) or not hasattr(data, "row_length"):
        return
    try:
        for split in ("train", "val", "test"):
            documents: Any = data.documents(split)
            first = [documents[index] for index in data.first(split, FIRST_DOCUMENTS)]
            if data.too_long == "refuse":
                lengths = map(experiment.module.model.grammar.length, first)
                assign_rows(sorted(lengths, reverse=True), data.row_length)
    except ConfigError:
        raise
    except ValueError as error:  # of a medium that cannot be read
        raise ConfigError(str(error)) from error


def _check_metrics(experiment: Experiment) -> None:
    """Raises ConfigError if a metric of the config has the name of a task's."""
    chosen = (experiment.config.get("report") or {}).get("metrics") or {}
    for task in experiment.data.tasks("test") if chosen and experiment.data.size("test") else ():
        for name in chosen.get(task.target, {}):
            if name in {**default_metrics(task), **task.metrics}:
                raise ConfigError(
                    f"report.metrics.{task.target} has {name!r}, which is a metric of the task {task.title!r}, "
                    "wanted another name"
                )


def _fit_codecs(experiment: Experiment) -> None:
    """Fit the codecs, which may refuse the media, while nothing is written yet but what they learn."""
    if isinstance(experiment.module, MoTModule):
        try:
            experiment.module.fit_codecs(experiment.data)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(str(error)) from error


def _check_objectives(experiment: Experiment) -> None:
    """Compute a loss by each objective of the user's own, whose faults would else show in the first step."""
    module, data = experiment.module, experiment.data
    if not isinstance(module, MoTModule):
        return
    objectives = module.model.objectives.items()
    new = [(name, one) for name, one in objectives if type(one).__module__.partition(".")[0] not in OURS]
    if not new:
        return
    batch = next(iter(data.train_dataloader()))
    hidden = torch.zeros(sum(batch.layout.counts), module.model.backbone.settings.dim)  # (N, d)
    for name, objective in new:
        part = batch.by_modality[name]
        try:
            module.model.losses(objective, hidden, objective.embed(part, Noise.of(part)), part)
        except ConfigError:
            raise
        except Exception as error:  # of the user's code
            raise ConfigError(describe(error, f"the loss of {type(objective).__name__}")) from error
