"""How a codec's network is trained: CodecModule, for the `fit` command, and `train_once`, for a codec that needs it.

Knows steps and the cache; what is learned is known to the codec (`Autoencoder.loss`).
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from tqdm import tqdm

from mot_lightning.codecs.autoencoder import Autoencoder
from mot_lightning.codecs.base import Codec
from mot_lightning.codecs.outside import fingerprint
from mot_lightning.seeds import generator_for

BATCH, LEARNING_RATE = 64, 5e-3
SOME = 2048  # training images that stand for all, where a codec looks at many at once
CACHE = "MOT_LIGHTNING_CACHE"  # names the folder of trained codecs; ~/.cache/mot_lightning without it


class CodecModule(LightningModule):
    """Trains a codec's own network on the media of one modality.

    Args:
        codec: a VAE or a VQ without `name_or_path`.
        modality: of the data, whose media it learns.
        learning_rate: of AdamW, at the peak of a warm-up and a cosine to nothing.
        seed: of all noise, with the step.

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
        self.codecs = {modality: codec}  # a plain mapping: the network alone is trained, moved and saved
        self.network = codec.held.network
        self.config: dict[str, Any] = {}  # what the command line built this from; travels in the checkpoint
        self.some = torch.empty(0)

    @property
    def codec(self) -> Autoencoder:
        return self.codecs[self.modality]

    def setup(self, stage: str) -> None:
        if self.trainer.world_size > 1:
            raise ValueError(f"{self.trainer.world_size} processes train a codec, wanted 1: its codes are moved by one")
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        data.show(self.modality)
        self.some = torch.stack(list(data.media(self.modality, "train")[:SOME]))

    def on_fit_start(self) -> None:
        self.network.requires_grad_(True).train()

    def on_fit_end(self) -> None:
        self.network.requires_grad_(False).eval()

    def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> None:
        step, steps = self.trainer.global_step, self.trainer.max_steps
        self.some = self.some.to(self.device)
        self.codec.before_step(self.some, step, steps, generator_for(self.seed, step, 1, device=self.device))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        step = self.trainer.global_step
        generator = generator_for(self.seed, step, device=self.device)
        loss = self.codec.loss(batch, step / self.trainer.max_steps, generator)
        self.log(f"train/{self.modality}/loss", loss)
        return loss

    def _evaluate(self, batch: Tensor, batch_idx: int, stage: str) -> None:
        loss = self.codec.loss(batch, 1.0, generator_for(self.seed, batch_idx, device=self.device))
        self.log_dict({f"{stage}/loss": loss, f"{stage}/{self.modality}/loss": loss}, batch_size=len(batch))

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self._evaluate(batch, batch_idx, "val")

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        self._evaluate(batch, batch_idx, "test")

    def configure_optimizers(self) -> Any:
        optimizer, schedule = optimizer_for(self.network, self.learning_rate, self.trainer.max_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self.config


def optimizer_for(network: nn.Module, learning_rate: float, steps: int) -> tuple[Any, Any]:
    """AdamW, and its warm-up and cosine over so many steps."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps + 1, pct_start=0.05)
    return optimizer, schedule


def train(codec: Autoencoder, images: Tensor) -> None:
    """Train a codec's network on images (b, c, h, w), on the host and the same each time.

    A loop of its own: this happens while a model's trainer is being set up.
    """
    network, some = codec.held.network.requires_grad_(True).train(), images[:SOME]
    optimizer, schedule = optimizer_for(network, LEARNING_RATE, codec.steps)
    for step in tqdm(range(codec.steps), desc=type(codec).__name__, unit="step", mininterval=1):
        generator = generator_for(0, step)
        codec.before_step(some, step, codec.steps, generator)
        batch = images[torch.randint(len(images), (BATCH,), generator=generator)]
        loss = codec.loss(batch, step / codec.steps, generator)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    optimizer.zero_grad()
    network.requires_grad_(False).eval()
    codec.finish(some)


def train_once(codec: Autoencoder, images: Tensor) -> None:
    """Train a codec's network, or take it from the cache: a folder of diffusers for each codec and set of images."""
    recipe = {"batch": BATCH, "learning_rate": LEARNING_RATE}
    key = fingerprint({**codec.identity({}), "images": images, "recipe": recipe})[:16]
    folder = Path(os.environ.get(CACHE) or "~/.cache/mot_lightning").expanduser() / f"{type(codec).__name__}-{key}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):  # other ranks and runs wait, and find it
            if not folder.is_dir():
                print(f"{type(codec).__name__}: {codec.steps} steps on {len(images)} images, kept in {folder}")
                train(codec, images)
                with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
                    codec.save_pretrained(Path(beside) / "codec")
                    os.replace(Path(beside) / "codec", folder)  # there whole, or not at all
    except OSError as error:
        raise ValueError(f"{CACHE} is {folder.parent}, wanted a folder to write to: {error.strerror}") from None
    codec.take(folder)
