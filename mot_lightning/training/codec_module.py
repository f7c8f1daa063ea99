"""CodecModule: the LightningModule by which `fit` trains the network of a codec."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from mot_lightning.codecs.autoencoder import Autoencoder
from mot_lightning.codecs.base import Codec
from mot_lightning.codecs.fitting import CALIBRATION_IMAGES, LEARNING_RATE, choose, optimizer_for
from mot_lightning.runs.checkpoint import FORMAT
from mot_lightning.seeds import generator_for
from mot_lightning.training.metrics import is_logged, log_row


class CodecModule(LightningModule):
    """Trains the network of a codec on the media of one modality.

    Args:
        codec: a VAE or a VQ without `name_or_path`.
        modality: the modality on whose media it is trained.
        learning_rate: peak learning rate of AdamW, after a linear warm-up and before a cosine decay to zero.
        seed: seeds all noise, together with the step.

    Raises:
        ValueError: the codec has no network to train.
    """

    def __init__(self, codec: Codec, modality: str, learning_rate: float = LEARNING_RATE, seed: int = 0) -> None:
        super().__init__()
        if not isinstance(codec, Autoencoder) or codec.name_or_path is not None:
            raise ValueError(f"model.codec is {type(codec).__name__}, wanted a VAE or a VQ without name_or_path")
        if learning_rate <= 0:
            raise ValueError(f"model.learning_rate is {learning_rate}, wanted above 0")
        self.modality, self.learning_rate, self.seed = modality, learning_rate, seed
        self.codecs = {modality: codec}  # a plain dict: only the network below is trained, moved and saved
        self.network = codec.frozen.network
        self.config: dict[str, Any] = {}  # the config of the experiment; saved in checkpoints
        self.calibration_images = torch.empty(0)
        self._losses: list[tuple[float, int]] = []  # of an evaluation: of each batch, and its size

    @property
    def codec(self) -> Autoencoder:
        return self.codecs[self.modality]

    @property
    def steps(self) -> int:
        """Optimizer steps of the run."""
        return int(self.trainer.estimated_stepping_batches)

    def setup(self, stage: str) -> None:
        if self.trainer.world_size > 1:
            raise ValueError(
                f"{self.trainer.world_size} processes train a codec, wanted 1: one process updates its codes"
            )
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        data.train_codec_on(self.modality)
        self.calibration_images = torch.stack(list(choose(data.media(self.modality, "train"), CALIBRATION_IMAGES)))

    def on_fit_start(self) -> None:
        self.network.requires_grad_(True).train()

    def on_fit_end(self) -> None:
        self.network.requires_grad_(False).eval()

    def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> None:
        step, steps = self.trainer.global_step, self.steps
        self.calibration_images = self.calibration_images.to(self.device)
        self.codec.before_step(
            self.calibration_images, step, steps, generator_for(self.seed, step, 1, device=self.device)
        )

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        step = self.trainer.global_step
        generator = generator_for(self.seed, step, device=self.device)
        loss = self.codec.loss(batch, step / self.steps, generator)
        step += 1  # the trainer has not counted this one yet
        if is_logged(self.trainer, step) and not self.trainer.fit_loop._should_accumulate():
            log_row(self, {f"train/{self.modality}/loss": loss.item()}, step)
        return loss

    def on_validation_epoch_start(self) -> None:
        self._losses = []

    def on_test_epoch_start(self) -> None:
        self._losses = []

    def _evaluate(self, batch: Tensor, batch_idx: int) -> None:
        loss = self.codec.loss(batch, 1.0, generator_for(self.seed, batch_idx, device=self.device))
        self._losses.append((loss.item(), len(batch)))

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self._evaluate(batch, batch_idx)

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        self._evaluate(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        self._log_mean("val")

    def on_test_epoch_end(self) -> None:
        self._log_mean("test")

    def _log_mean(self, stage: str) -> None:
        count = sum(size for _, size in self._losses)
        if count:
            loss = sum(loss * size for loss, size in self._losses) / count
            log_row(self, {f"{stage}/loss": loss, f"{stage}/{self.modality}/loss": loss}, self.trainer.global_step)

    def configure_optimizers(self) -> Any:
        optimizer, schedule = optimizer_for(self.network, self.learning_rate, self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["format"] = FORMAT
        checkpoint["config"] = self.config
