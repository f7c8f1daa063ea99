"""Speech as discrete units: k-means over stacked log-mel frames."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torchaudio import functional as F

from mot_lightning.codecs.audio import Waveform
from mot_lightning.codecs.clusters import cluster
from mot_lightning.codecs.mel import MelCodec
from mot_lightning.errors import require
from mot_lightning.sequence import Ids

CEPSTRA = 13  # enough for formants, too few for pitch, which depends on the speaker
SPEAKER = 0.5  # fraction of a clip's mean log-mel that is subtracted as the speaker's; 1 would erase one-vowel words


class LogMelUnits(MelCodec):
    """Mono waveform at `sample_rate` Hz <-> ids of the nearest centroids, one per `frames * hop_ms` ms.

    Distances are between smoothed spectra (the first cepstra of each frame) minus half of the clip's mean. Ids do not
    depend on loudness; a decoded waveform peaks at 0.5.

    Args:
        vocab_size: number of units.
        sample_rate, n_mels, hop_ms, frames, griffin_lim_iterations: as in `MelCodec`.
        max_length: maximum tokens of a segment, if its begin token encodes the length.
    """

    vocab_size: int
    centroids: Float[Tensor, "vocab_size stacked"]  # frames * n_mels; all zero until fitted
    cepstra: Float[Tensor, "n_mels CEPSTRA"]  # orthonormal columns

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
        require("vocab_size", vocab_size, "at least 2 units", vocab_size >= 2)
        super().__init__(sample_rate, n_mels, hop_ms, frames, griffin_lim_iterations)
        self.vocab_size, self.max_length = vocab_size, max_length
        self.register_buffer("centroids", torch.zeros(vocab_size, frames * n_mels))
        self.register_buffer("cepstra", F.create_dct(CEPSTRA, n_mels, norm="ortho"))

    @property
    def codebook(self) -> Float[Tensor, "vocab_size c"]:
        return self._cepstra(self.centroids)  # c = frames * CEPSTRA

    @torch.no_grad()
    def fit(self, media: Sequence[Waveform]) -> None:
        """Learn the centroids from training waveforms, which must have at least `vocab_size` units in total."""
        logs = [self.log_mel(wave) for wave in media]
        self.spectrum.copy_(torch.cat(logs).mean(0))
        centers = cluster(torch.cat([self._features(log) for log in logs]), self.vocab_size)
        # the cepstra are orthonormal, so those of the stored log-mels equal the centers
        self.centroids.copy_((centers.reshape(-1, self.cepstra.shape[1]) @ self.cepstra.T).view_as(self.centroids))

    @torch.no_grad()
    def encode(self, media: Waveform) -> Ids:
        """Waveform -> int64 ids, max(1, ceil(samples / samples_per_unit)) of them. Raises ValueError before `fit`."""
        self.check(media)
        if not self.centroids.any():
            raise ValueError("LogMelUnits has no centroids yet: call fit, or load a checkpoint that holds them")
        return torch.cdist(self._features(self.log_mel(media)), self._cepstra(self.centroids)).argmin(1)

    @torch.no_grad()
    def decode(self, tokens: Ids) -> Waveform:
        """Ids -> waveform, n * samples_per_unit long, with its peak at 0.5; deterministic."""
        return self.to_waveform(self.centroids[tokens.to(self.centroids.device)])

    def _features(self, log: Tensor) -> Tensor:
        """Log-mel frames `(t, n_mels)` -> features for distances, `(t / frames, frames * CEPSTRA)`."""
        return self._cepstra(log - SPEAKER * (log.mean(0) - self.spectrum))

    def _cepstra(self, log: Tensor) -> Tensor:
        """Log-mels, as frames or as stacked units, -> the cepstra of units `(n, frames * CEPSTRA)`."""
        return (log.reshape(-1, self.n_mels) @ self.cepstra).reshape(-1, self.frames * self.cepstra.shape[1])
