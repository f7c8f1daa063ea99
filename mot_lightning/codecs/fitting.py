"""Training of a codec's network when a model first needs it, and the cache of trained codecs.

Knows steps and the cache; the codec defines the loss (`Autoencoder.loss`).
"""

import os
import tempfile
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from filelock import FileLock
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from mot_lightning.codecs.image import Images
from mot_lightning.codecs.pretrained import FrozenNetwork, content_hash
from mot_lightning.config.paths import absolute
from mot_lightning.seeds import generator_for

BATCH, LEARNING_RATE = 64, 5e-3
CALIBRATION_IMAGES = 2048  # training images from which a codec computes statistics
CACHE = "MOT_LIGHTNING_CACHE"  # environment variable: folder of trained codecs, by default ~/.cache/mot_lightning


@runtime_checkable
class Trainable(Protocol):
    """A codec whose network can be trained from scratch (`Autoencoder`)."""

    frozen: FrozenNetwork
    steps: int

    def fingerprint(self, learned: Any) -> dict[str, Any]: ...
    def before_step(self, images: Images, step: int, steps: int, generator: torch.Generator) -> None: ...
    def loss(self, images: Images, done: float, generator: torch.Generator) -> Float[Tensor, ""]: ...
    def on_train_end(self, images: Images) -> None: ...
    def save_pretrained(self, folder: Path) -> None: ...
    def load(self, folder: Path) -> None: ...


def optimizer_for(network: nn.Module, learning_rate: float, steps: int) -> tuple[Any, Any]:
    """AdamW, and a schedule of warm-up and cosine decay over `steps` steps."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps + 1, pct_start=0.05)
    return optimizer, schedule


def train(codec: Trainable, images: Images) -> None:
    """Train a codec's network on images, on the host and deterministically.

    A plain loop without a trainer, since this runs while the model's trainer is being set up.
    """
    network, calibration = codec.frozen.network.requires_grad_(True).train(), images[:CALIBRATION_IMAGES]
    optimizer, schedule = optimizer_for(network, LEARNING_RATE, codec.steps)
    for step in tqdm(range(codec.steps), desc=type(codec).__name__, unit="step", mininterval=1):
        generator = generator_for(0, step)
        codec.before_step(calibration, step, codec.steps, generator)
        batch = images[torch.randint(len(images), (BATCH,), generator=generator)]
        loss = codec.loss(batch, step / codec.steps, generator)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    optimizer.zero_grad()
    network.requires_grad_(False).eval()
    codec.on_train_end(calibration)


def train_once(codec: Trainable, images: Images) -> None:
    """Train a codec's network, or load it from the cache: one diffusers folder per fingerprint and set of images."""
    recipe = {"batch": BATCH, "learning_rate": LEARNING_RATE}
    key = content_hash({**codec.fingerprint({}), "images": images, "recipe": recipe})[:16]
    folder = absolute(os.environ.get(CACHE) or "~/.cache/mot_lightning", CACHE) / f"{type(codec).__name__}-{key}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):  # other ranks and runs wait, then load it
            if not folder.is_dir():
                print(f"{type(codec).__name__}: {codec.steps} steps on {len(images)} images, cached in {folder}")
                train(codec, images)
                with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
                    codec.save_pretrained(Path(temporary) / "codec")
                    (Path(temporary) / "codec").replace(folder)  # atomic
    except OSError as error:
        raise ValueError(f"{CACHE} is {folder.parent}, wanted a folder to write to: {error.strerror}") from None
    codec.load(folder)
