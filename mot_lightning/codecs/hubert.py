"""Speech as units of HuBERT (arXiv 2106.07447): k-means over a layer's features, without repeated units."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchaudio
from jaxtyping import Float
from torch import Tensor

from mot_lightning.codecs.audio import Waveform
from mot_lightning.codecs.clusters import cluster
from mot_lightning.codecs.mel import MelCodec
from mot_lightning.codecs.pretrained import FrozenNetwork, all_weights, load_pretrained
from mot_lightning.config.paths import absolute_or_name
from mot_lightning.errors import require
from mot_lightning.sequence import Ids

RATE = 16_000  # Hz, sample rate of all HuBERT models
STRIDE, SPAN = 320, 400  # samples between frames, and of one frame


class HubertUnits(MelCodec):
    """Mono waveform at `sample_rate` Hz <-> ids of the nearest centroids, 25 a second, without repeats.

    HuBERT's 50 frames a second are averaged in pairs, and a run of one unit becomes one id, as in textless language
    models (arXiv 2102.01192). HuBERT has no decoder, so each unit is decoded to its mean log-mel frames over the
    training clips, repeated for the mean length of its runs.

    Args:
        name_or_path: a pipeline of torchaudio ("HUBERT_BASE"), or a folder or hub name of transformers' HubertModel.
        vocab_size: number of units.
        layer: number of the layer whose output is clustered, from 1; null takes the middle one.
        sample_rate, n_mels, griffin_lim_iterations: as in `MelCodec`.

    Raises:
        ValueError: there is no HuBERT there, or it does not have the layer.
    """

    vocab_size: int
    centroids: Float[Tensor, "vocab_size f"]  # all zero until fitted
    logs: Float[Tensor, "vocab_size stacked"]  # mean log-mel frames of each unit, frames * n_mels
    durations: Float[Tensor, " vocab_size"]  # mean length of each unit's runs, in units

    def __init__(
        self,
        name_or_path: str | Path,
        vocab_size: int = 100,
        layer: int | None = None,
        sample_rate: int = 8_000,
        n_mels: int = 40,
        griffin_lim_iterations: int = 32,
    ) -> None:
        super().__init__(sample_rate, n_mels, 10, 4, griffin_lim_iterations)  # 40 ms
        name_or_path = absolute_or_name(name_or_path, "name_or_path")
        self.name_or_path, self.vocab_size = name_or_path, vocab_size
        expected = "a HuBERT of torchaudio.pipelines, or a folder or hub name of a HubertModel"
        self.frozen = FrozenNetwork(load_pretrained(lambda: _load(name_or_path), "HubertUnits", name_or_path, expected))
        network = self.frozen.network
        depth = len(network.encoder.layers if hasattr(network, "config") else network.encoder.transformer.layers)
        self.layer = (depth + 1) // 2 if layer is None else layer
        require("layer", layer, f"1 to {depth}", 1 <= self.layer <= depth)
        width = self._features(torch.zeros(1))[0].shape[-1]
        self.register_buffer("centroids", torch.zeros(vocab_size, width))
        self.register_buffer("logs", torch.zeros(vocab_size, self.frames * n_mels))
        self.register_buffer("durations", torch.ones(vocab_size))

    @property
    def codebook(self) -> Float[Tensor, "vocab_size f"]:
        return self.centroids

    @property
    def pretrained_hash(self) -> str:
        return self.frozen.hash

    @torch.no_grad()
    def fit(self, media: Sequence[Waveform]) -> None:
        """Learn each unit's centroid, mean frames and mean duration from waveforms of at least `vocab_size` units."""
        features = [self._features(wave) for wave in media]
        self.centroids.copy_(cluster(torch.cat(features), self.vocab_size))
        units = [self._nearest(clip) for clip in features]
        ids = torch.cat(units)
        frames = torch.cat([self.log_mel(wave).reshape(len(clip), -1) for wave, clip in zip(media, units, strict=True)])
        counts = ids.bincount(minlength=self.vocab_size).clamp_min(1)
        self.logs.zero_().index_add_(0, ids, frames).div_(counts[:, None])
        starts = torch.cat([clip.unique_consecutive() for clip in units])  # one id for each run
        runs = starts.bincount(minlength=self.vocab_size).clamp_min(1)
        self.durations.copy_((counts / runs).clamp_min(1))

    @torch.no_grad()
    def encode(self, media: Waveform) -> Ids:
        """Waveform -> int64 ids without repeats. Raises ValueError before `fit`."""
        self.check(media)
        if not self.centroids.any():
            raise ValueError("HubertUnits has no centroids yet: call fit, or load a checkpoint that holds them")
        return self._nearest(self._features(media)).unique_consecutive()

    @torch.no_grad()
    def decode(self, tokens: Ids) -> Waveform:
        """Ids -> waveform with its peak at 0.5. Rounding errors of lengths carry over to the next unit."""
        ids = tokens.to(self.logs.device)
        ends = self.durations[ids].cumsum(0).round().long()  # (n,)
        return self.to_waveform(self.logs[ids.repeat_interleave(ends.diff(prepend=ends.new_zeros(1)))])

    def _nearest(self, features: Tensor) -> Tensor:
        return torch.cdist(features, self.centroids).argmin(1)

    @torch.no_grad()
    def _features(self, wave: Tensor) -> Tensor:
        """Waveform `(n,)` -> the layer's features, 25 a second, `(u, f)`."""
        count = self.units(len(wave))
        wave = F.pad(wave, (0, max(0, 1 - len(wave))))
        wave = torchaudio.functional.resample(wave, self.sample_rate, RATE)
        wave = (wave - wave.mean()) / wave.std(correction=0).clamp_min(1e-5)
        padding = (2 * count - 1) * STRIDE + SPAN - len(wave)  # two frames for each unit, centred
        wave = F.pad(wave, (padding // 2, padding - padding // 2))[None]
        network = self.frozen.network
        if hasattr(network, "config"):  # transformers
            hidden = network(wave, output_hidden_states=True).hidden_states[self.layer]
        else:
            hidden = network.extract_features(wave, num_layers=self.layer)[0][-1]
        return F.adaptive_avg_pool1d(hidden.transpose(1, 2), count)[0].T  # (u, f)


def _load(name_or_path: str) -> Any:
    bundle = getattr(torchaudio.pipelines, name_or_path, None)
    if bundle is not None and not Path(name_or_path).exists():
        return bundle.get_model()
    from transformers import AutoConfig, HubertModel  # takes seconds

    kind = AutoConfig.from_pretrained(name_or_path, trust_remote_code=False).model_type
    if kind != "hubert":
        raise ValueError(f"it holds a {kind}")
    loaded: Any = HubertModel.from_pretrained(name_or_path, output_loading_info=True, trust_remote_code=False)
    return all_weights(loaded)
