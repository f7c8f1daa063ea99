"""The optimizer, its learning rate schedule, and weight averaging. Knows parameters, not losses."""

import inspect
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mot_lightning.config.checked import checked
from mot_lightning.config.hints import did_you_mean
from mot_lightning.errors import require
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.training.combined_optimizer import CombinedOptimizer
from mot_lightning.training.parameter_groups import parameter_groups
from mot_lightning.training.part_settings import PartSettings
from mot_lightning.training.parts import Part, freeze, parts_by_weight

ClassSpec = dict[str, Any]  # class_path and init_args
SCHEDULES = ("cosine", "linear", "constant", "wsd")
SCHEDULERS = "torch.optim.lr_scheduler"
COOLDOWN = 0.2  # fraction of the steps in which "wsd" decays (arXiv 2405.18392)


@checked("model.optimizer")
@dataclass(frozen=True)
class OptimizerSettings:
    """The optimizer with linear warm-up, then a schedule to `min_lr_ratio` of the peak at the last step.

    Attributes:
        learning_rate: at the peak.
        betas: of optimizers that have them.
        weight_decay: of matrices; vectors, norms included, do not decay.
        warmup_steps: steps of linear warm-up.
        min_lr_ratio: learning rate at the last step, as a fraction of the peak.
        ema_decay: of the averaged weights, which are used in validation, test and sampling; warms up as
            (1 + n) / (10 + n).
        algorithm: class of the optimizer; a bare name is one of torch.optim. Muon updates the matrices of the
            backbone's layers, and AdamW all other weights.
        schedule: after the warm-up: "cosine", "linear", "constant", "wsd" (constant, and linear in the last fifth of
            the steps), or a class of torch.optim.lr_scheduler, which is stepped after each optimizer step and brings
            its own warm-up.
        max_skipped_steps: a step whose gradients are NaN or infinite is skipped; after so many in a row, the run ends.
        towers: settings of single towers, by the names in `backbone.towers`, or else by modality. They hold for the
            objectives of their modalities too. Weights that towers share follow the common settings if these differ.
        objectives: settings of single objectives, embeddings and heads, in place of their tower's, by modality.
    """

    learning_rate: float = 3e-3
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    warmup_steps: int = 50
    min_lr_ratio: float = 0.05
    ema_decay: float = 0.99
    algorithm: str | ClassSpec = "AdamW"
    schedule: str | ClassSpec = "cosine"
    max_skipped_steps: int = 10
    towers: dict[str, PartSettings] = field(default_factory=dict)
    objectives: dict[str, PartSettings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("learning_rate", "weight_decay", "min_lr_ratio", "ema_decay"):
            object.__setattr__(self, name, float(getattr(self, name)))  # NumPy's numbers would not load in checkpoints
        object.__setattr__(self, "betas", tuple(float(beta) for beta in self.betas))
        named = isinstance(self.schedule, str) and "." not in self.schedule
        for name, requirement, fits in (  # NaN fails every check
            ("learning_rate", "a number above 0", 0 < self.learning_rate < math.inf),
            ("betas", "two numbers from 0 to below 1", all(0 <= beta < 1 for beta in self.betas)),
            ("weight_decay", "a number of 0 or more", 0 <= self.weight_decay < math.inf),
            ("warmup_steps", "0 or more", self.warmup_steps >= 0),
            ("max_skipped_steps", "0 or more", self.max_skipped_steps >= 0),
            ("min_lr_ratio", "a number from 0 to 1", 0 <= self.min_lr_ratio <= 1),
            ("ema_decay", "a number from 0 to below 1", 0 <= self.ema_decay < 1),
            ("schedule", f"{', '.join(SCHEDULES)} or a class", not named or self.schedule in SCHEDULES),
        ):
            if not fits:
                raise ValueError(f"model.optimizer.{name} is {getattr(self, name)}, wanted {requirement}")
        for path, settings in self._by_path():
            settings.check(path)
        for setting, home, base in (("algorithm", "torch.optim", Optimizer), ("schedule", SCHEDULERS, LRScheduler)):
            if (spec := getattr(self, setting)) not in SCHEDULES:
                kind, arguments = _class_of(spec, setting, home, base)
                if issubclass(kind, ReduceLROnPlateau):
                    raise ValueError(f"model.optimizer.schedule is {kind.__name__}, wanted one that needs no metric")
                known = inspect.signature(kind).parameters
                if setting == "algorithm" and "weight_decay" not in known:
                    for path, settings in self._by_path():
                        value, without = settings.weight_decay, f"null, as {kind.__name__} has none"
                        require(f"{path}.weight_decay", value, without, value is None)
                rates = [path for path, settings in self._by_path() if settings.learning_rate]
                if rates and "max_lr" in known:  # of all groups
                    fixed = f"wanted one that has no rate itself, with {rates[0]}.learning_rate"
                    raise ValueError(f"model.optimizer.schedule is {kind.__name__}, {fixed}")
                for name in {*arguments} - {*known}:
                    close = did_you_mean(name, known) or f", wanted some of {', '.join(known)}"
                    raise ValueError(f"model.optimizer.{setting} has no setting {name!r} in {kind.__name__}{close}")

    def _by_path(self) -> list[tuple[str, PartSettings]]:
        """The settings of single parts, by their place in a config."""
        kinds = {"towers": self.towers, "objectives": self.objectives}
        return [
            (f"model.optimizer.{kind}.{name}", part) for kind, parts in kinds.items() for name, part in parts.items()
        ]

    @property
    def combines(self) -> bool:
        """Whether some weights are updated by another optimizer, AdamW."""
        return _class_of(self.algorithm, "algorithm", "torch.optim", Optimizer)[0] is Muon

    def lr_factor(self, step: int, steps: float) -> float:
        """The learning rate of a step, as a fraction of the peak; of the schedules that have a name."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.schedule == "constant":
            return 1.0
        start = max(self.warmup_steps, round((1 - COOLDOWN) * steps)) if self.schedule == "wsd" else self.warmup_steps
        progress = min(1.0, max(0, step - start) / max(1, steps - start))
        decay = 0.5 * (1 + math.cos(math.pi * progress)) if self.schedule == "cosine" else 1 - progress
        return self.min_lr_ratio + (1 - self.min_lr_ratio) * decay

    def freeze(self, model: MixtureOfTransformers) -> None:
        """Turn off the gradients of a model's frozen towers and objectives.

        Raises:
            ValueError: there is no such part, it shares weights with one that learns, or nothing learns.
        """
        freeze(model, self.parts_of(model))

    def parts_of(self, model: MixtureOfTransformers) -> dict[int, Part]:
        """The towers and objectives with settings of their own, by the id of each of their weights."""
        return parts_by_weight(model, self.towers, self.objectives)

    def build(self, model: nn.Module, steps: float, fused: bool) -> tuple[Optimizer, LRScheduler]:
        """The optimizer of a model's trained weights, and its schedule.

        Args:
            steps: of the run; -1 or infinite if it has no last one.

        Raises:
            ValueError: a class is not an optimizer or a schedule, or does not take its arguments, or the schedule needs
                a last step.
        """
        if self.schedule in SCHEDULES and self.schedule != "constant" and not 0 <= steps < math.inf:
            raise ValueError(
                f"the run has no last step, where the {self.schedule} schedule ends: wanted Trainer.max_steps, or "
                "Trainer.max_epochs with limit_train_batches"
            )
        kind, arguments = _class_of(self.algorithm, "algorithm", "torch.optim", Optimizer)
        trained = [p for p in model.parameters() if p.requires_grad]
        parts = self.parts_of(model) if isinstance(model, MixtureOfTransformers) else {}
        if kind is Muon:
            inside = {id(p) for name, p in model.named_parameters() if ".layers." in name and p.dim() == 2}
            hidden, others = ([p for p in trained if (id(p) in inside) is is_in] for is_in in (True, False))
            # by default, steps as long as AdamW's, so that learning rate and decay carry over (arXiv 2502.16982)
            arguments = {"adjust_lr_fn": "match_rms_adamw", **arguments}
            optimizer: Optimizer = CombinedOptimizer(
                [
                    self._optimizer(Muon, hidden, arguments, parts),
                    self._optimizer(AdamW, others, {"fused": fused or None}, parts),
                ]
            )
        else:
            arguments = {"fused": fused or None, **arguments} if kind is AdamW else arguments
            optimizer = self._optimizer(kind, trained, arguments, parts)
            if kind is AdamW:
                _create_state(optimizer)
        if isinstance(self.schedule, str) and self.schedule in SCHEDULES:
            return optimizer, LambdaLR(optimizer, lambda step: self.lr_factor(step, steps))
        schedule, arguments = _class_of(self.schedule, "schedule", SCHEDULERS, LRScheduler)
        return optimizer, _built("schedule", schedule, optimizer, **arguments)

    def _optimizer(
        self, kind: type, weights: Sequence[Tensor], arguments: dict[str, Any], parts: Mapping[int, Part]
    ) -> Optimizer:
        # with fused=None, PyTorch updates many weights in one kernel on CUDA; False would turn that off
        takes = inspect.signature(kind).parameters
        ours = {"lr": self.learning_rate, "betas": self.betas, "weight_decay": self.weight_decay}
        decay = arguments.get("weight_decay", self.weight_decay)
        groups = parameter_groups(weights, parts, decay, kind.__name__.lower())
        known = {name: value for name, value in ours.items() if name in takes}
        return _built("algorithm", kind, groups, **{**known, **arguments})

    def update_ema(self, ema_model: nn.Module, model: nn.Module, n: int) -> None:
        """Update averaged weights from a model after n steps."""
        decay = min(self.ema_decay, (1 + n) / (10 + n))
        both = zip(ema_model.parameters(), model.parameters(), strict=True)
        learning = [(average, weight) for average, weight in both if weight.requires_grad]
        get_ema_multi_avg_fn(decay)(*map(list, zip(*learning, strict=True)), n)


def _class_of(spec: str | ClassSpec, setting: str, home: str, base: type) -> tuple[type, dict[str, Any]]:
    """The class that a setting names, and its arguments."""
    spec = {"class_path": spec} if isinstance(spec, str) else spec
    if not isinstance(spec.get("class_path"), str) or not isinstance(spec.get("init_args") or {}, dict):
        raise ValueError(f"model.optimizer.{setting} is {spec}, wanted the name of a class: {{class_path: NAME}}")
    path = spec["class_path"] if "." in spec["class_path"] else f"{home}.{spec['class_path']}"
    module, _, name = path.rpartition(".")
    # a checkpoint may name any module: whoever allows one imports it
    kind = getattr(sys.modules.get(module), name, None)
    if not (isinstance(kind, type) and issubclass(kind, base)):
        names = [name for name, value in vars(sys.modules[home]).items() if isinstance(value, type)]
        close = did_you_mean(name, names) if module == home else ""
        choices = f"wanted a class of {home}, or one that is imported"
        raise ValueError(f"model.optimizer.{setting} is {path}, {choices}{close}")
    return kind, dict(spec.get("init_args") or {})


def _built(setting: str, kind: type, *arguments: Any, **settings: Any) -> Any:
    try:
        return kind(*arguments, **settings)
    except (TypeError, ValueError) as error:
        raise ValueError(f"model.optimizer.{setting} is {kind.__name__}: {error}") from error


def _create_state(optimizer: Optimizer) -> None:
    """Create AdamW's state, which else comes with a first gradient; a sharded checkpoint needs all of it to load."""
    for group in optimizer.param_groups:
        names = ("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else []))
        for weight in group["params"]:
            step = torch.zeros((), device=weight.device if group["fused"] or group["capturable"] else "cpu")
            optimizer.state[weight] = {"step": step, **{name: torch.zeros_like(weight) for name in names}}
