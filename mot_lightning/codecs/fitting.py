"""What codecs learn, on a bounded random choice of training media, once: it is kept in the cache.

Knows media, steps and the cache; a codec defines what it learns (`Codec.fit`), and its loss (`Autoencoder.loss`).
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from mot_lightning.bar import Bar
from mot_lightning.codecs.cache import UnwritableCacheError, cached
from mot_lightning.codecs.image import Images, OneImage
from mot_lightning.codecs.pretrained import FrozenNetwork, content_hash
from mot_lightning.errors import say
from mot_lightning.seeds import generator_for

BATCH, LEARNING_RATE = 64, 5e-3
CALIBRATION_IMAGES = 2048  # training images from which a codec computes statistics
CODEC_SAMPLES = 10_000  # training media that a codec is fitted on


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


class _Choice(Sequence[Any]):
    """Some media of a sequence, which ends by its length: a torch Dataset may raise no IndexError."""

    def __init__(self, media: Sequence[Any], indices: Sequence[int]) -> None:
        self.media, self.indices = media, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return _Choice(self.media, self.indices[index])
        return self.media[self.indices[index]]


def choose(media: Sequence[Any], limit: int) -> Sequence[Any]:
    """All media if they are at most `limit`, else as many at random, always the same; each is read when it is used."""
    if len(media) <= limit:
        return media if isinstance(media, list | tuple) else _Choice(media, range(len(media)))
    return _Choice(media, np.sort(np.random.default_rng(0).choice(len(media), limit, replace=False)).tolist())


def fit_once(codec: Any, media: Sequence[Any], limit: int = CODEC_SAMPLES) -> None:
    """Fit a codec on at most `limit` media, or load what it learned from the cache.

    Codecs of other packages are fitted each time, as their code may change.
    """
    chosen = choose(media, limit)
    if len(chosen) < len(media):
        say(f"{type(codec).__name__}: fitted on {len(chosen):,} of {len(media):,} media (codec_samples)")
    ours = type(codec).__module__.startswith("mot_lightning.")
    # a network is in the cache as a folder of its own
    if not ours or isinstance(codec, Trainable) or not codec.state_dict():
        codec.fit(chosen)
        return

    def write(path: Path) -> None:
        codec.fit(chosen)
        torch.save(codec.state_dict(), path)

    try:
        # a codec may have learned before, as the tokenizer of a language model has
        path = cached(f"{_name(codec, chosen, learned=content_hash(codec.state_dict()))}.pt", write)
    except UnwritableCacheError as error:
        say(f"{type(codec).__name__} is fitted in each run: {error}")
        codec.fit(chosen)
    else:
        codec.load_state_dict(torch.load(path, weights_only=True))


def _name(codec: Any, media: Sequence[Any], **recipe: Any) -> str:
    """The name of a cache entry: what is learned depends on the codec, the code of codecs, and all media."""
    digest = hashlib.sha256()
    for medium in media:
        digest.update(content_hash(medium).encode())
    code = {path.name: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py")}
    content = {**codec.fingerprint({}), "media": digest.hexdigest(), "code": code, "recipe": recipe}
    return f"{type(codec).__name__}-{content_hash(content)[:16]}"


def optimizer_for(network: nn.Module, learning_rate: float, steps: int) -> tuple[Any, Any]:
    """AdamW, and a schedule of warm-up and cosine decay over `steps` steps."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps + 1, pct_start=0.05)
    return optimizer, schedule


def train(codec: Trainable, images: Sequence[OneImage]) -> None:
    """Train a codec's network on images, on the host and deterministically.

    A plain loop without a trainer, since this runs while the model's trainer is being set up.
    """
    network = codec.frozen.network.requires_grad_(True).train()
    calibration = torch.stack(list(choose(images, CALIBRATION_IMAGES)))
    optimizer, schedule = optimizer_for(network, LEARNING_RATE, codec.steps)
    for step in Bar(range(codec.steps), desc=type(codec).__name__, unit="step", mininterval=1):
        generator = generator_for(0, step)
        codec.before_step(calibration, step, codec.steps, generator)
        batch = torch.stack([images[i] for i in torch.randint(len(images), (BATCH,), generator=generator).tolist()])
        loss = codec.loss(batch, step / codec.steps, generator)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    optimizer.zero_grad()
    network.requires_grad_(False).eval()
    codec.on_train_end(calibration)


def train_once(codec: Trainable, images: Sequence[OneImage]) -> None:
    """Train a codec's network, or load it from the cache: one diffusers folder per fingerprint and set of images."""

    def write(folder: Path) -> None:
        say(f"{type(codec).__name__}: {codec.steps} steps on {len(images)} images, kept in the cache as {name}")
        train(codec, images)
        codec.save_pretrained(folder)

    name = _name(codec, images, batch=BATCH, learning_rate=LEARNING_RATE)
    codec.load(cached(name, write))
