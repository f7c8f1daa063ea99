"""MoTModule, the LightningModule: training steps, the weighted total loss, the optimizer and averaged weights.

Knows batches and steps; samples and checkpoint files are left to callbacks, media to codecs and data.
"""

import copy
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from mot_lightning.backbone import BackboneSettings
from mot_lightning.backbone.moe import collect_router_stats, experts_of
from mot_lightning.codecs.fitting import fit_once
from mot_lightning.config.checked import Checked
from mot_lightning.generation import GenerationLimits
from mot_lightning.generation.checks import check_batch
from mot_lightning.generation.prompts import Document, Prompt
from mot_lightning.interop import LanguageModels
from mot_lightning.modality import Modality, assemble
from mot_lightning.model import Losses
from mot_lightning.pipeline import MoTPipeline
from mot_lightning.seeds import mix, seed_layers
from mot_lightning.sequence import InterleavedBatch
from mot_lightning.training.divergence import check_losses
from mot_lightning.training.losses import LossWeights, Reduction, Sums
from mot_lightning.training.metrics import StageSums, is_logged, learning_rates, log_row, metrics_of, reduced
from mot_lightning.training.optimizer import OptimizerSettings
from mot_lightning.training.saved_module import SavedModule, config_of
from mot_lightning.training.sharding import shard, summon_full_params
from mot_lightning.training.skipped_steps import SkippedSteps, clip_or_drop
from mot_lightning.training.step import OptimizerStep
from mot_lightning.training.target_bytes import TargetBytes


class MoTModule(Checked, SavedModule):
    """A Mixture-of-Transformers experiment: every modality with its codec, objective and weight.

    The averaged weights are a second model, `ema_model`. Weights are never swapped, so a checkpoint from any moment
    has both.

    Args:
        modalities: codec, objective and loss weight of each.
        control: the discrete modality whose vocabulary has the control tokens.
        backbone: size, shape and towers.
        optimizer: AdamW, its learning rate schedule and weight averaging.
        seed: of the initial weights and all noise, which is a function of seed, document, segment and token; for
            batches packed from segments without a seed, also of step and rank, as that of dropout always is.
        reduction: what the loss of a modality, before its weight, is a mean over. "token": all its targets, so a long
            segment counts more than a short one. "segment": the means of its segments; a control token counts as
            one. "batch": the targets of all modalities, so a modality counts by its fraction of the batch. Batches
            that `trainer.accumulate_grad_batches` accumulates count equally, however many targets each has; to divide
            by their targets together, raise `data.batch_size` or the number of ranks instead.
        pretrained: the language models that towers start from, by modality.
    """

    setting = "model"

    def __init__(
        self,
        modalities: dict[str, Modality],
        control: str,
        backbone: BackboneSettings = BackboneSettings(),  # noqa: B008 (frozen)
        optimizer: OptimizerSettings = OptimizerSettings(),  # noqa: B008 (frozen)
        seed: int = 0,
        reduction: Reduction = "token",
        pretrained: LanguageModels | None = None,
    ) -> None:
        super().__init__()
        self.seed, self.optimizer = seed, optimizer
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix(seed))
            self.model = assemble(modalities, control, backbone, pretrained)
        optimizer.freeze(self.model)
        self.modalities = sorted(modalities)
        self.codec_samples = {name: modalities[name].codec_samples for name in self.modalities}
        self.codecs = nn.ModuleDict({name: modalities[name].codec for name in self.modalities})  # type: ignore[assignment]
        self.experts = experts_of(self.model)  # empty if no tower has experts
        self.ema_model = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.loss_weights = LossWeights({name: modalities[name].weight for name in self.modalities}, reduction)
        self.config = config_of(
            modalities,
            seed,
            control=control,
            backbone=backbone,
            optimizer=optimizer,
            reduction=reduction,
            pretrained=pretrained,
        )
        self._present = dict.fromkeys(self.modalities, False)
        self._target_bytes = TargetBytes(self.codecs, self.model.grammar)
        self._evaluation = ExitStack()  # open from an evaluation's first batch to its last
        self._stage_sums = StageSums()
        self.step = OptimizerStep()
        self.skipped_steps = SkippedSteps(optimizer.max_skipped_steps)

    @property
    def data(self) -> Any:
        """The datamodule; None if a Trainer runs on dataloaders."""
        return getattr(self.trainer, "datamodule", None)

    @property
    def pipeline(self) -> MoTPipeline:
        """A pipeline of the codecs and the averaged weights."""
        return MoTPipeline(self.codecs, self.ema_model, self.limits)

    # before training

    def prepare(self, data: Any) -> None:
        """Load the data and `fit_codecs`: all that has to happen before the first batch, without a Trainer."""
        data.prepare_data()
        data.setup("fit")
        self.fit_codecs(data)

    def fit_codecs(self, data: Any) -> None:
        """Fit the codecs that are not fitted yet, then set codebooks and connect the data to the codecs."""
        data.check_roles(self.codecs)
        self.fitted_codecs |= data.load_codecs(self.codecs, self.fitted_codecs)
        for name in [name for name in self.codecs if name not in self.fitted_codecs]:
            fit_once(self.codecs[name], data.media(name, "train"), self.codec_samples[name])
            self.fitted_codecs.add(name)
        for model in (self.model, self.ema_model):
            for name, objective in model.objectives.items():
                objective.set_codebook(self.codecs[name].codebook)
        self._connect(data)
        self.limits = GenerationLimits(data.row_length, data.unconditional)

    def _connect(self, data: Any) -> None:
        self._target_bytes.clear()
        self.model.backbone.settings.check_length("data.row_length", data.row_length)
        data.connect(dict(self.codecs), self.model.grammar)

    def setup(self, stage: str) -> None:
        if self.data is None:
            if stage == "fit" and self.limits is None:
                raise ValueError("Trainer.fit has no datamodule, wanted one, or module.prepare(datamodule) before")
        elif stage == "fit":  # a checkpoint restores the state of its codecs after this
            self.fit_codecs(self.data)
        else:
            self._connect(self.data)
        # codecs stay on the host, where ranks cannot exchange tensors
        self._ddp_params_and_buffers_to_ignore = [name for name in self.state_dict() if name.startswith("codecs.")]

    def configure_model(self) -> None:
        """Take the precision of the run before weights are restored in it, and shard both models over a device mesh."""
        self.trainer.precision_plugin.convert_module(self)
        if self.device_mesh is not None:
            for model in (self.model, self.ema_model):
                shard(model, self.device_mesh["data_parallel"])

    # steps

    def sums(self, losses: Mapping[str, Losses], batch: InterleavedBatch) -> Sums:
        """Sums of the losses of a batch, by modality."""
        return self.loss_weights.sums(losses, batch, self._target_bytes(batch))

    def training_step(self, batch: InterleavedBatch, batch_idx: int) -> dict[str, Any]:
        if self.trainer.training:  # batch_idx restarts in each epoch
            batch_idx = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready - 1
        step = (self.seed, batch_idx, self.global_rank)
        seed_layers(mix(*step, 1), self.device)  # of dropout, separate from the noise
        with collect_router_stats(self.experts) as router_stats:
            losses = self.model(batch, self.seed if batch.seeded else mix(*step))
        sums = self.sums(losses, batch)
        for name, count in zip(self.model.grammar.groups, batch.layout.counts, strict=True):
            self._present[name] |= count > 0
        self.step.add(batch, losses, sums, self.loss_weights, self.trainer)
        # divided by the targets of the whole step, where Lightning averages over batches, and the strategy over ranks
        parts = self.trainer.world_size * self.trainer.accumulate_grad_batches
        loss = self.loss_weights.total(sums.loss * parts, self.step.targets)
        # routing and load balancing see the tokens of one batch
        loss = sum((stats.loss * self.step.scale for stats in router_stats.values()), start=loss)
        if self.trainer.training and not self.trainer.fit_loop._should_accumulate():
            self._log_training(Sums.unstack(self.step.sums))  # one row a step
        visits = {name: (*stats.visits, stats.tokens) for name, stats in router_stats.items()}
        return {"loss": loss, "expert_visits": visits}

    def _log_training(self, sums: Sums) -> None:
        if is_logged(self.trainer, step := self.global_step + 1):  # the trainer has not counted this one yet
            row = metrics_of(self, reduced(self.trainer, sums.stack()), "train")
            rates = learning_rates(self.trainer.optimizers[0])
            log_row(self, {**row, **rates, **self.skipped_steps.row()}, step)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Weights that no token on any rank used stay unchanged: neither decay nor momentum moves an absent tower."""
        present = self._present  # on the host: a single rank needs no device sync
        if self.trainer.world_size > 1:
            counts = torch.tensor([float(is_present) for is_present in present.values()], device=self.device)
            counts = self.trainer.strategy.reduce(counts, reduce_op="sum")
            present = dict(zip(present, (counts > 0).tolist(), strict=True))
        for parameter in self.model.untouched(present):
            parameter.grad = None
        self._present = dict.fromkeys(self._present, False)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradients; drop them if their norm is NaN or infinite, so that the optimizer changes nothing."""
        if getattr(self.trainer.precision_plugin, "scaler", None) is None:
            clip_or_drop(self, optimizer, gradient_clip_val, gradient_clip_algorithm)
        else:  # it skips such steps itself
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step and update the averaged weights; no callback runs between the two."""
        super().optimizer_step(*args, **kwargs)
        if not self.skipped_steps.in_row:
            self.update_ema(self.global_step + 1)  # the trainer has not counted this one yet

    def update_ema(self, step: int) -> None:
        """Update the averaged weights after the given optimizer step."""
        self.optimizer.update_ema(self.ema_model, self.model, step)

    def validation_step(self, batch: InterleavedBatch, batch_idx: int) -> Tensor:
        seed = self.seed if batch.seeded else mix(self.seed, batch_idx, self.global_rank, 2)
        return self._stage_sums.add(self.sums(self.ema_model(batch, seed), batch))  # (m, 5)

    test_step = validation_step

    def on_validation_epoch_start(self) -> None:
        """Gather the weights once: ranks with different numbers of batches need not wait for each other."""
        self._stage_sums.start(len(self.modalities))
        self._evaluation.enter_context(summon_full_params(self.ema_model))

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_epoch_end(self) -> None:
        row = self.evaluated("val")
        log_row(self, row, self.global_step)
        if self.trainer.state.fn == "fit":
            check_losses(row, self.global_step)

    def on_test_epoch_end(self) -> None:
        log_row(self, self.evaluated("test"), self.global_step)

    def evaluated(self, stage: str) -> dict[str, float]:
        """The metrics of an evaluation, after its last batch; all ranks call this together."""
        self._evaluation.close()
        return metrics_of(self, reduced(self.trainer, self._stage_sums.total), stage)

    def predict_step(self, batch: Sequence[Prompt], batch_idx: int, dataloader_idx: int = 0) -> list[Document]:
        """Continue a batch of prompts, as `pipeline` does."""
        check_batch(batch)
        return self.pipeline(batch)

    # optimizer

    def configure_optimizers(self) -> Any:
        # Lightning cannot clip gradients that a fused optimizer unscales
        fused = "mixed" not in str(self.trainer.precision)
        steps = self.trainer.estimated_stepping_batches  # -1 or infinite if the run has no end
        optimizer, schedule = self.optimizer.build(self.model, steps, fused)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self._target_bytes.clear()
