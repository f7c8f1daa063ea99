"""Knows how speech becomes discrete units: k-means over stacked log-mel frames, and Griffin-Lim back to a waveform."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import soundfile
import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor, nn
from torchaudio import functional as F
from torchaudio.transforms import GriffinLim, InverseMelScale, MelSpectrogram

from mot_lightning.codecs.base import Codec
from mot_lightning.codecs.sound_file import read_sound

FLOOR = 1e-5  # 50 dB below a clip's loudest mel band: quieter than that is silence
CEPSTRA = 13  # enough for the formants, too few for the pitch, which belongs to the speaker
SPEAKER = 0.5  # share of a clip's mean spectrum taken for the speaker's; a word of one vowel is all mean spectrum


class LogMelUnits(Codec):
    """Mono waveform, float `(n,)` at `sample_rate` Hz <-> ids of the nearest centroids, one per `frames * hop_ms` ms.

    Distances are between smoothed spectra (the first cepstra of each frame) with half of the speaker's average taken
    out. Ids do not depend on loudness; a decoded waveform peaks at 0.5.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".wav", ".flac", ".ogg", ".mp3")
    vocab_size: int
    centroids: Tensor  # (vocab_size, frames * n_mels), all zero until fitted
    spectrum: Tensor  # (n_mels,), the training clips' mean log-mel frame
    cepstra: Tensor  # (n_mels, CEPSTRA), orthonormal columns

    def __init__(
        self,
        vocab_size: int = 128,
        sample_rate: int = 8_000,
        n_mels: int = 40,
        hop_ms: int = 10,
        frames: int = 4,
        griffin_lim_iterations: int = 32,
        max_length: int = 128,
    ) -> None:
        super().__init__()
        self.max_length = max_length
        self.vocab_size, self.sample_rate, self.frames = vocab_size, sample_rate, frames
        hop, window = sample_rate * hop_ms // 1_000, sample_rate * 32 // 1_000
        # Twice the window: with fewer bins the lowest mel filters would hold none.
        n_fft = 2 * window
        self.samples_per_unit = frames * hop
        self.to_mel = MelSpectrogram(sample_rate, n_fft, window, hop, n_mels=n_mels, pad_mode="constant")
        self.from_mel = InverseMelScale(n_fft // 2 + 1, n_mels, sample_rate)
        self.to_wave = GriffinLim(n_fft, griffin_lim_iterations, window, hop, rand_init=False)
        self.register_buffer("centroids", torch.zeros(vocab_size, frames * n_mels))
        self.register_buffer("spectrum", torch.zeros(n_mels))
        self.register_buffer("cepstra", F.create_dct(CEPSTRA, n_mels, norm="ortho"))

    @torch.no_grad()
    def fit(self, media: Sequence[Tensor]) -> None:
        """Learn the centroids from training waveforms `(n,)`, which must hold at least `vocab_size` units."""
        logs = [self._log_mel(wave) for wave in media]
        self.spectrum.copy_(torch.cat(logs).mean(0))
        units = torch.cat([self._features(log) for log in logs])
        means = MiniBatchKMeans(self.vocab_size, random_state=0, batch_size=2_048, n_init=3).fit(units.cpu().numpy())
        centers = torch.from_numpy(means.cluster_centers_).to(self.cepstra)
        # Orthonormal: the cepstra of the stored log-mels are the centers again.
        self.centroids.copy_((centers.reshape(-1, self.cepstra.shape[1]) @ self.cepstra.T).view_as(self.centroids))

    @torch.no_grad()
    def encode(self, media: Tensor) -> Tensor:
        """Waveform `(n,)` -> int64 ids `(max(1, ceil(n / samples_per_unit)),)`. Raises ValueError before `fit`."""
        if not self.centroids.any():
            raise ValueError("LogMelUnits has no centroids yet: call fit, or load a checkpoint that holds them")
        return torch.cdist(self._features(self._log_mel(media)), self._cepstra(self.centroids)).argmin(1)

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Ids `(n,)` -> waveform `(n * samples_per_unit,)` with its peak at 0.5; the same ids, the same waveform."""
        if not len(tokens):
            return self.centroids.new_zeros(0)
        logs = self.centroids[tokens.to(self.centroids.device)].reshape(-1, len(self.spectrum))  # (t, n_mels)
        logs = torch.cat([logs, logs[-1:]])  # Griffin-Lim spans the hops between frames: one frame more than hops
        wave: Tensor = self.to_wave(self.from_mel(logs.T.exp()))
        return wave * (0.5 / wave.abs().max().clamp_min(1e-12))

    def read(self, path: Path) -> Tensor:
        """A file's waveform: float32 `(n,)` at `sample_rate`, its channels averaged. Raises ValueError in one line."""
        return read_sound(path, self.sample_rate)

    def write(self, media: Tensor, stem: Path) -> Path:
        """Write a waveform `(n,)` as 16-bit WAV to `stem.wav`; returns the path."""
        path = stem.with_name(f"{stem.name}.wav")
        soundfile.write(path, media.cpu().numpy(), self.sample_rate, subtype="PCM_16")
        return path

    def show(self, board: Any, tag: str, media: Sequence[Tensor], captions: Sequence[str], step: int) -> None:
        for i, wave in enumerate(media):
            if not len(wave):  # the first id was the stop: nothing to hear
                continue
            board.add_audio(f"{tag}/{i:02}", wave, step, self.sample_rate)

    def _log_mel(self, wave: Tensor) -> Tensor:
        """Waveform `(n,)` -> log-mel frames `(t, n_mels)` below the clip's loudest band; silence fills the end."""
        count = max(1, -(-len(wave) // self.samples_per_unit))
        wave = nn.functional.pad(wave.to(self.spectrum), (0, count * self.samples_per_unit - len(wave)))
        mel: Tensor = self.to_mel(wave)[:, :-1].T  # the last frame is centred on the end, past the last hop
        return (mel / mel.max().clamp_min(1e-30)).clamp_min(FLOOR).log()

    def _features(self, log: Tensor) -> Tensor:
        """Log-mel frames `(t, n_mels)` -> what distances are measured on, `(t / frames, frames * CEPSTRA)`."""
        return self._cepstra(log - SPEAKER * (log.mean(0) - self.spectrum))

    def _cepstra(self, log: Tensor) -> Tensor:
        """Log-mels, as frames or as stacked units, -> the cepstra of units `(n, frames * CEPSTRA)`."""
        return (log.reshape(-1, len(self.spectrum)) @ self.cepstra).reshape(-1, self.frames * self.cepstra.shape[1])
