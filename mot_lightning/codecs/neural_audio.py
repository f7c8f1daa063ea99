"""Audio as ids of a neural codec of transformers (Mimi, EnCodec, DAC), with all codebooks in one sequence."""

from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio.functional import resample

from mot_lightning.codecs.audio import AudioCodec, Waveform
from mot_lightning.codecs.pretrained import FrozenNetwork, all_weights, load_pretrained
from mot_lightning.config.paths import absolute_or_name
from mot_lightning.errors import require
from mot_lightning.sequence import Ids

KINDS = ("mimi", "encodec", "dac")


class NeuralCodec(AudioCodec):
    """Mono waveform at `sample_rate` Hz <-> ids, `codebooks` for each frame; ids of codebook k start at k * size.

    Args:
        name_or_path: folder or hub name of a MimiModel, an EncodecModel or a DacModel of one channel.
        codebooks: number of codebooks kept, coarse to fine; null keeps all.
        pattern: order of the ids. "flat" writes all codebooks of a frame, then the next frame; "delay" shifts codebook
            k by k frames, so that its ids follow the coarser ids of later frames (MusicGen, arXiv 2306.05284, fig. 1).
        sample_rate: Hz of the waveforms; they are resampled to the network's rate and back.

    Raises:
        ValueError: there is no such network, it has several channels or chunks, or too few codebooks.
    """

    vocab_size: int

    def __init__(
        self,
        name_or_path: str | Path,
        codebooks: int | None = None,
        pattern: Literal["flat", "delay"] = "flat",
        sample_rate: int = 8_000,
    ) -> None:
        super().__init__(sample_rate)
        name_or_path = absolute_or_name(name_or_path, "name_or_path")
        self.name_or_path, self.pattern = name_or_path, pattern
        expected = "a folder or hub name of a MimiModel, an EncodecModel or a DacModel"
        self.frozen = FrozenNetwork(load_pretrained(lambda: _load(name_or_path), "NeuralCodec", name_or_path, expected))
        config = self.frozen.network.config
        if getattr(config, "audio_channels", 1) != 1 or getattr(config, "chunk_length_s", None) is not None:
            raise ValueError(f"name_or_path is {name_or_path!r}, which is stereo or chunked, wanted mono")
        with torch.no_grad():
            available = len(self._codes(torch.zeros(1)))
        self.codebooks = available if codebooks is None else codebooks
        require("codebooks", codebooks, f"1 to {available}", 1 <= self.codebooks <= available)
        require("pattern", pattern, "'flat' or 'delay'", pattern in ("flat", "delay"))
        self.vocab_size = self.codebooks * config.codebook_size

    @property
    def pretrained_hash(self) -> str:
        return self.frozen.hash

    @torch.no_grad()
    def encode(self, media: Waveform) -> Ids:
        self.check(media)
        codes = self._codes(media)[: self.codebooks]  # (k, t)
        return self._interleave(codes + self._offsets()[:, None])

    def _offsets(self) -> Tensor:
        return torch.arange(self.codebooks) * self.frozen.network.config.codebook_size  # (k,)

    def _interleave(self, codes: Tensor) -> Tensor:
        """Codes (k, t) in the order of the pattern, (k t,)."""
        k, t = codes.shape
        delay = torch.arange(k) if self.pattern == "delay" else torch.zeros(k, dtype=torch.long)
        order = (torch.arange(t) + delay[:, None]) * k + torch.arange(k)[:, None]  # (k, t)
        return codes.flatten()[order.flatten().argsort()]

    @torch.no_grad()
    def decode(self, tokens: Ids) -> Waveform:
        """Ids -> waveform. The ids of each codebook are in order in any pattern; incomplete frames are dropped."""
        size = self.frozen.network.config.codebook_size
        ids = tokens.cpu()
        books = [ids[ids // size == k] % size for k in range(self.codebooks)]
        t = min(len(book) for book in books)
        if not t:
            return torch.zeros(0)
        codes = torch.stack([book[:t] for book in books])[None]  # (1, k, t)
        network, kind = self.frozen.network, self.frozen.network.config.model_type
        if kind == "encodec":
            wave = network.decode(codes[None], [None]).audio_values
        else:
            wave = network.decode(audio_codes=codes).audio_values
        return resample(wave.flatten(), network.config.sampling_rate, self.sample_rate).clamp(-1, 1)

    def _codes(self, wave: Tensor) -> Tensor:
        """Waveform `(n,)` -> codes of all codebooks, coarse to fine, (k, t)."""
        network = self.frozen.network
        wave = F.pad(wave, (0, max(0, 1 - len(wave))))  # at least one frame
        wave = resample(wave, self.sample_rate, network.config.sampling_rate)
        hop = int(network.config.sampling_rate / network.config.frame_rate)
        wave = F.pad(wave, (0, -len(wave) % hop))[None, None]  # whole frames
        if network.config.model_type == "encodec":
            return network.encode(wave, bandwidth=max(network.config.target_bandwidths)).audio_codes[0, 0]
        return network.encode(wave).audio_codes[0]


def _load(name_or_path: str) -> Any:
    from transformers import AutoConfig, AutoModel  # takes seconds

    kind = AutoConfig.from_pretrained(name_or_path, trust_remote_code=False).model_type
    if kind not in KINDS:
        raise ValueError(f"it holds a {kind}")
    return all_weights(AutoModel.from_pretrained(name_or_path, output_loading_info=True, trust_remote_code=False))
