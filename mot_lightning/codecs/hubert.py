"""Speech as units of HuBERT (arXiv 2106.07447): k-means over a layer's features, without the units' lengths."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor

from mot_lightning.codecs.outside import Held, from_outside
from mot_lightning.codecs.sound import MelCodec
from mot_lightning.codecs.units import cluster

RATE = 16_000  # Hz, of all HuBERTs
STRIDE, SPAN = 320, 400  # samples from one frame to the next, and of one frame


class HubertUnits(MelCodec):
    """Mono waveform, float `(n,)` at `sample_rate` Hz <-> ids of the nearest centroids, 25 a second, without repeats.

    HuBERT's 50 frames a second are averaged in pairs; a run of one unit is written once, as in textless language
    models (arXiv 2102.01192). Decoding gives each unit the mean length of its runs and its mean log-mel frames in
    training: HuBERT itself has no way back to sound.

    Args:
        name_or_path: a pipeline of torchaudio ("HUBERT_BASE"), or a folder or hub name of transformers' HubertModel.
        vocab_size: units.
        layer: whose output is clustered, from 1; none takes the middle one.
        sample_rate, n_mels, griffin_lim_iterations: as in `MelCodec`.

    Raises:
        ValueError: there is no HuBERT there, or it has not so many layers.
    """

    vocab_size: int
    centroids: Tensor  # (vocab_size, f), all zero until fitted
    logs: Tensor  # (vocab_size, frames * n_mels), each unit's mean log-mel frames
    durations: Tensor  # (vocab_size,), mean length of its runs in units

    def __init__(
        self,
        name_or_path: str,
        vocab_size: int = 100,
        layer: int | None = None,
        sample_rate: int = 8_000,
        n_mels: int = 40,
        griffin_lim_iterations: int = 32,
    ) -> None:
        super().__init__(sample_rate, n_mels, 10, 4, griffin_lim_iterations)  # 40 ms
        self.name_or_path, self.vocab_size = name_or_path, vocab_size
        wanted = "a HuBERT of torchaudio.pipelines, or a folder or hub name of a HubertModel"
        self.held = Held(from_outside(lambda: _load(name_or_path), "HubertUnits", name_or_path, wanted))
        network = self.held.network
        depth = len(network.encoder.layers if hasattr(network, "config") else network.encoder.transformer.layers)
        self.layer = (depth + 1) // 2 if layer is None else layer
        if not 1 <= self.layer <= depth:
            raise ValueError(f"layer is {layer}, wanted 1 to {depth}")
        width = self._features(torch.zeros(1))[0].shape[-1]
        self.register_buffer("centroids", torch.zeros(vocab_size, width))
        self.register_buffer("logs", torch.zeros(vocab_size, self.frames * n_mels))
        self.register_buffer("durations", torch.ones(vocab_size))

    @property
    def codebook(self) -> Tensor:
        return self.centroids

    @property
    def outside(self) -> str:
        return self.held.hash

    @torch.no_grad()
    def fit(self, media: Sequence[Tensor]) -> None:
        """Learn the centroids, their sound and their lengths from waveforms `(n,)` of at least `vocab_size` units."""
        features = [self._features(wave) for wave in media]
        self.centroids.copy_(cluster(torch.cat(features), self.vocab_size))
        ids = [self._nearest(own) for own in features]
        every = torch.cat(ids)
        frames = torch.cat([self.log_mel(wave).reshape(len(own), -1) for wave, own in zip(media, ids, strict=True)])
        counts = every.bincount(minlength=self.vocab_size).clamp_min(1)
        self.logs.zero_().index_add_(0, every, frames).div_(counts[:, None])
        runs = torch.cat([own.unique_consecutive() for own in ids]).bincount(minlength=self.vocab_size).clamp_min(1)
        self.durations.copy_((counts / runs).clamp_min(1))

    @torch.no_grad()
    def encode(self, media: Tensor) -> Tensor:
        """Waveform `(n,)` -> int64 ids, no two neighbours alike. Raises ValueError before `fit`."""
        self.check(media)
        if not self.centroids.any():
            raise ValueError("HubertUnits has no centroids yet: call fit, or load a checkpoint that holds them")
        return self._nearest(self._features(media)).unique_consecutive()

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Ids `(n,)` -> waveform with its peak at 0.5; rounding of lengths is carried on to the next unit."""
        ids = tokens.to(self.logs.device)
        ends = self.durations[ids].cumsum(0).round().long()  # (n,)
        return self.sound(self.logs[ids.repeat_interleave(ends.diff(prepend=ends.new_zeros(1)))])

    def _nearest(self, features: Tensor) -> Tensor:
        return torch.cdist(features, self.centroids).argmin(1)

    @torch.no_grad()
    def _features(self, wave: Tensor) -> Tensor:
        """Waveform `(n,)` -> the layer's features, 25 a second, `(u, f)`."""
        count = self.units(len(wave))
        wave = F.pad(wave, (0, max(0, 1 - len(wave))))
        wave = torchaudio.functional.resample(wave, self.sample_rate, RATE)
        wave = (wave - wave.mean()) / wave.std(correction=0).clamp_min(1e-5)
        spare = (2 * count - 1) * STRIDE + SPAN - len(wave)  # for two frames of each unit, centred
        wave = F.pad(wave, (spare // 2, spare - spare // 2))[None]
        network = self.held.network
        if hasattr(network, "config"):  # transformers
            found = network(wave, output_hidden_states=True).hidden_states[self.layer]
        else:
            found = network.extract_features(wave, num_layers=self.layer)[0][-1]
        return F.adaptive_avg_pool1d(found.transpose(1, 2), count)[0].T  # (u, f)


def _load(name_or_path: str) -> Any:
    bundle = getattr(torchaudio.pipelines, name_or_path, None)
    if bundle is not None and not Path(name_or_path).exists():
        return bundle.get_model()
    from transformers import AutoConfig, HubertModel  # takes seconds

    kind = AutoConfig.from_pretrained(name_or_path).model_type
    if kind != "hubert":
        raise ValueError(f"it holds a {kind}")
    return HubertModel.from_pretrained(name_or_path)
