"""Sound as ids of a neural codec of transformers (Mimi, EnCodec, DAC), whose codebooks are written as one sequence."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio.functional import resample

from mot_lightning.codecs.outside import Held, from_outside
from mot_lightning.codecs.sound import SoundCodec

KINDS = ("mimi", "encodec", "dac")


class NeuralCodec(SoundCodec):
    """Mono waveform, float `(n,)` at `sample_rate` Hz <-> ids `(t * codebooks,)`, codebook k's from k * size on.

    Args:
        name_or_path: folder or hub name of a MimiModel, an EncodecModel or a DacModel of one channel.
        codebooks: the first so many are kept, each finer than the one before; none keeps all.
        pattern: order of the ids. "flat" writes all codebooks of a frame, then the next frame; "delay" lets codebook k
            lag k frames behind, so that it follows coarser codes of later frames (MusicGen, arXiv 2306.05284, fig. 1).
        sample_rate: Hz of the waveforms; they are resampled to the network's own and back.

    Raises:
        ValueError: there is no such network, it has other channels or chunks, or not so many codebooks.
    """

    vocab_size: int

    def __init__(
        self,
        name_or_path: str,
        codebooks: int | None = None,
        pattern: Literal["flat", "delay"] = "flat",
        sample_rate: int = 8_000,
    ) -> None:
        super().__init__(sample_rate)
        self.name_or_path, self.pattern = name_or_path, pattern
        wanted = "a folder or hub name of a MimiModel, an EncodecModel or a DacModel"
        self.held = Held(from_outside(lambda: _load(name_or_path), "NeuralCodec", name_or_path, wanted))
        config = self.held.network.config
        if getattr(config, "audio_channels", 1) != 1 or getattr(config, "chunk_length_s", None) is not None:
            raise ValueError(f"name_or_path is {name_or_path!r}, which writes stereo or chunks, wanted a mono codec")
        with torch.no_grad():
            most = len(self._codes(torch.zeros(1)))
        self.codebooks = most if codebooks is None else codebooks
        if not 1 <= self.codebooks <= most:
            raise ValueError(f"codebooks is {codebooks}, wanted 1 to {most}")
        if pattern not in ("flat", "delay"):
            raise ValueError(f"pattern is {pattern!r}, wanted 'flat' or 'delay'")
        self.vocab_size = self.codebooks * config.codebook_size

    @property
    def outside(self) -> str:
        return self.held.hash

    @torch.no_grad()
    def encode(self, media: Tensor) -> Tensor:
        self.check(media)
        codes = self._codes(media)[: self.codebooks]  # (k, t)
        return self._line(codes + self._first()[:, None])

    def _first(self) -> Tensor:
        return torch.arange(self.codebooks) * self.held.network.config.codebook_size  # (k,)

    def _line(self, codes: Tensor) -> Tensor:
        """Codes (k, t) in the order of the pattern, (k t,)."""
        k, t = codes.shape
        delay = torch.arange(k) if self.pattern == "delay" else torch.zeros(k, dtype=torch.long)
        turn = (torch.arange(t) + delay[:, None]) * k + torch.arange(k)[:, None]  # (k, t)
        return codes.flatten()[turn.flatten().argsort()]

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Ids -> waveform. Each codebook's stand in order in any pattern; a frame that lacks one is left out."""
        size = self.held.network.config.codebook_size
        ids = tokens.cpu()
        books = [ids[ids // size == k] % size for k in range(self.codebooks)]
        t = min(len(book) for book in books)
        if not t:
            return torch.zeros(0)
        codes = torch.stack([book[:t] for book in books])[None]  # (1, k, t)
        network, kind = self.held.network, self.held.network.config.model_type
        if kind == "encodec":
            wave = network.decode(codes[None], [None]).audio_values
        else:
            wave = network.decode(audio_codes=codes).audio_values
        return resample(wave.flatten(), network.config.sampling_rate, self.sample_rate).clamp(-1, 1)

    def _codes(self, wave: Tensor) -> Tensor:
        """Waveform `(n,)` -> codes of all codebooks, coarse to fine, (k, t)."""
        network = self.held.network
        wave = F.pad(wave, (0, max(0, 1 - len(wave))))  # there is always a frame
        wave = resample(wave, self.sample_rate, network.config.sampling_rate)
        hop = int(network.config.sampling_rate / network.config.frame_rate)
        wave = F.pad(wave, (0, -len(wave) % hop))[None, None]  # whole frames
        if network.config.model_type == "encodec":
            return network.encode(wave, bandwidth=max(network.config.target_bandwidths)).audio_codes[0, 0]
        return network.encode(wave).audio_codes[0]


def _load(name_or_path: str) -> Any:
    from transformers import AutoConfig, AutoModel  # takes seconds

    kind = AutoConfig.from_pretrained(name_or_path).model_type
    if kind not in KINDS:
        raise ValueError(f"it holds a {kind}")
    return AutoModel.from_pretrained(name_or_path)
