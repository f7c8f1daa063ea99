"""What all codecs of sound share: waveforms, their files, and the way over log-mel frames back to a waveform."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import soundfile
import torch
from torch import Tensor, nn
from torchaudio.transforms import GriffinLim, InverseMelScale, MelSpectrogram

from mot_lightning.codecs.base import Codec
from mot_lightning.codecs.sound_file import read_sound

FLOOR = 1e-5  # 50 dB below a clip's loudest mel band: quieter than that is silence


class SoundCodec(Codec):
    """A codec of mono waveforms, float `(n,)` at `sample_rate` Hz."""

    suffixes: ClassVar[tuple[str, ...]] = (".wav", ".flac", ".ogg", ".mp3")

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        if sample_rate < 1_000:
            raise ValueError(f"sample_rate is {sample_rate}, wanted Hz, at least 1,000")
        self.sample_rate = sample_rate

    def check(self, media: Tensor) -> None:
        if media.dim() != 1:
            raise ValueError(f"sound is {tuple(media.shape)}, wanted one channel (n,)")
        if not media.isfinite().all():
            raise ValueError("sound has samples that are not finite numbers")

    def read(self, path: Path) -> Tensor:
        """A file's waveform at `sample_rate`, its channels averaged; says in one line what had to be converted.

        Raises:
            ValueError: in one line, when the file holds no sound, silence, or samples that are not finite.
        """
        return read_sound(path, self.sample_rate, print)

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


class MelCodec(SoundCodec):
    """A codec whose tokens come back as log-mel frames, `frames` of them for a token, and by Griffin-Lim as sound.

    Args:
        sample_rate: Hz.
        n_mels: bands of a frame.
        hop_ms: from one frame to the next.
        frames: of one token.
        griffin_lim_iterations: more sound cleaner and take longer.
    """

    spectrum: Tensor  # (n_mels,), the training clips' mean log-mel frame

    def __init__(self, sample_rate: int, n_mels: int, hop_ms: int, frames: int, griffin_lim_iterations: int) -> None:
        super().__init__(sample_rate)
        self.n_mels, self.hop_ms, self.frames = n_mels, hop_ms, frames
        self.griffin_lim_iterations = griffin_lim_iterations
        hop, window = sample_rate * hop_ms // 1_000, sample_rate * 32 // 1_000
        # Twice the window: with fewer bins the lowest mel filters would hold none.
        n_fft = 2 * window
        self.samples_per_unit = frames * hop
        self.to_mel = MelSpectrogram(sample_rate, n_fft, window, hop, n_mels=n_mels, pad_mode="constant")
        self.from_mel = InverseMelScale(n_fft // 2 + 1, n_mels, sample_rate)
        self.to_wave = GriffinLim(n_fft, griffin_lim_iterations, window, hop, rand_init=False)
        self.register_buffer("spectrum", torch.zeros(n_mels))

    def units(self, samples: int) -> int:
        """Tokens of a waveform of so many samples: one for each that it begins, and one for nothing."""
        return max(1, -(-samples // self.samples_per_unit))

    def log_mel(self, wave: Tensor) -> Tensor:
        """Waveform `(n,)` -> log-mel frames `(t, n_mels)` below the clip's loudest band; silence fills the end."""
        count = self.units(len(wave))
        wave = nn.functional.pad(wave.to(self.spectrum), (0, count * self.samples_per_unit - len(wave)))
        mel: Tensor = self.to_mel(wave)[:, :-1].T  # the last frame is centred on the end, past the last hop
        return (mel / mel.max().clamp_min(1e-30)).clamp_min(FLOOR).log()

    def sound(self, logs: Tensor) -> Tensor:
        """Log-mel frames, as frames or as stacked tokens, -> waveform with its peak at 0.5, the same each time."""
        logs = logs.reshape(-1, self.n_mels)  # (t, n_mels)
        if not len(logs):
            return logs.new_zeros(0)
        logs = torch.cat([logs, logs[-1:]])  # Griffin-Lim spans the hops between frames: one frame more than hops
        wave: Tensor = self.to_wave(self.from_mel(logs.T.exp()))
        return wave * (0.5 / wave.abs().max().clamp_min(1e-12))
