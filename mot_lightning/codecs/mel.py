"""The base of audio codecs that encode log-mel frames and decode them by Griffin-Lim."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchaudio.transforms import GriffinLim, InverseMelScale, MelSpectrogram

from mot_lightning.codecs.audio import AudioCodec, Waveform
from mot_lightning.errors import require

FLOOR = 1e-5  # 50 dB below a clip's loudest mel band; anything quieter is silence

LogMel = Float[Tensor, "frames n_mels"]


class MelCodec(AudioCodec):
    """A codec whose tokens are decoded to `frames` log-mel frames each, and these to audio by Griffin-Lim.

    Args:
        sample_rate: Hz.
        n_mels: mel bands of a frame.
        hop_ms: milliseconds between frames.
        frames: log-mel frames per token.
        griffin_lim_iterations: more iterations give cleaner audio and take longer.
    """

    spectrum: Float[Tensor, " n_mels"]  # the training clips' mean log-mel frame

    def __init__(self, sample_rate: int, n_mels: int, hop_ms: int, frames: int, griffin_lim_iterations: int) -> None:
        super().__init__(sample_rate)
        for name, value in (("n_mels", n_mels), ("hop_ms", hop_ms), ("frames", frames)):
            require(name, value, "at least 1", value >= 1)
        self.n_mels, self.hop_ms, self.frames = n_mels, hop_ms, frames
        self.griffin_lim_iterations = griffin_lim_iterations
        hop, window = sample_rate * hop_ms // 1_000, sample_rate * 32 // 1_000
        # twice the window: with fewer bins the lowest mel filters would be empty
        n_fft = 2 * window
        self.samples_per_unit = frames * hop
        self.to_mel = MelSpectrogram(sample_rate, n_fft, window, hop, n_mels=n_mels, pad_mode="constant")
        self.from_mel = InverseMelScale(n_fft // 2 + 1, n_mels, sample_rate)
        self.to_wave = GriffinLim(n_fft, griffin_lim_iterations, window, hop, rand_init=False)
        self.register_buffer("spectrum", torch.zeros(n_mels))

    def units(self, samples: int) -> int:
        """Tokens of a waveform of `samples` samples, rounded up; at least one."""
        return max(1, -(-samples // self.samples_per_unit))

    def log_mel(self, wave: Waveform) -> LogMel:
        """Waveform -> log-mel frames relative to the clip's loudest band, padded with silence at the end."""
        count = self.units(len(wave))
        wave = nn.functional.pad(wave.to(self.spectrum), (0, count * self.samples_per_unit - len(wave)))
        mel: Tensor = self.to_mel(wave)[:, :-1].T  # (frames, n_mels); the dropped last frame is centred on the end
        return (mel / mel.max().clamp_min(1e-30)).clamp_min(FLOOR).log()

    def to_waveform(self, logs: Float[Tensor, "_ _"]) -> Waveform:
        """Log-mel frames, or tokens of stacked frames, -> waveform with its peak at 0.5; deterministic."""
        logs = logs.reshape(-1, self.n_mels)  # (t, n_mels)
        if not len(logs):
            return logs.new_zeros(0)
        logs = torch.cat([logs, logs[-1:]])  # Griffin-Lim gives one hop per pair of frames, so it needs one more frame
        wave: Tensor = self.to_wave(self.from_mel(logs.T.exp()))
        return wave * (0.5 / wave.abs().max().clamp_min(1e-12))
