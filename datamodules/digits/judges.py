"""Judges of digits: classifiers of generated media, trained only on real training media."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
import torchaudio
from torch import Tensor, nn

from datamodules.digits.sources import SAMPLE_RATE, Labelled


class ImageJudge:
    """A classifier of images: a support vector machine on pixels."""

    def __init__(self, train: Labelled, limit: int = 6000) -> None:
        from sklearn.svm import SVC

        self.train = Labelled(train.media[:limit], train.labels[:limit])
        pixels = self._pixels(self.train.media)
        # scikit-learn's gamma="scale": the kernel's width follows the variance of the pixels
        self.machine = SVC(C=10, gamma=float(1 / (pixels.shape[1] * pixels.var()))).fit(pixels, self.train.labels)

    def __call__(self, images: Sequence[Tensor]) -> list[int]:
        return self.machine.predict(self._pixels(images)).tolist()

    @cached_property
    def extractor(self) -> nn.Module:
        """The hidden layer of a small classifier, for Frechet distances."""
        return DigitFeatures(self._pixels(self.train.media), self.train)

    @staticmethod
    def _pixels(images: Sequence[Tensor]) -> np.ndarray:
        return torch.stack(list(images)).flatten(1).numpy()


class DigitFeatures(nn.Module):
    """uint8 images (n, 3, h, w) -> (n, 64), the hidden layer of a digit classifier trained on real images."""

    num_features = 64
    weight: Tensor
    bias: Tensor

    def __init__(self, pixels: np.ndarray, train: Labelled) -> None:
        from sklearn.neural_network import MLPClassifier

        super().__init__()
        network = MLPClassifier((self.num_features,), batch_size=64, random_state=0)
        for _ in range(30):  # epochs; a fixed number raises no warning about convergence
            network.partial_fit(pixels, train.labels, classes=np.arange(10))
        self.register_buffer("weight", torch.from_numpy(network.coefs_[0]).float())
        self.register_buffer("bias", torch.from_numpy(network.intercepts_[0]).float())

    def forward(self, images: Tensor) -> Tensor:
        pixels = images[:, : self.weight.shape[0] // (images.shape[2] * images.shape[3])].flatten(1) / 255
        return (pixels @ self.weight + self.bias).relu()  # (n, 64)


class SoundJudge:
    """A classifier of sounds: a support vector machine on cepstra, interpolated to one length."""

    frames = 24

    def __init__(self, train: Labelled) -> None:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        self.cepstra = torchaudio.transforms.MFCC(
            SAMPLE_RATE, n_mfcc=16, melkwargs={"n_fft": 256, "hop_length": 80, "n_mels": 32}
        )
        self.machine = make_pipeline(StandardScaler(), SVC(C=10)).fit(self._features(train.media), train.labels)

    def __call__(self, sounds: Sequence[Tensor]) -> list[int]:
        return self.machine.predict(self._features(sounds)).tolist()

    def _features(self, sounds: Sequence[Tensor]) -> np.ndarray:
        return np.stack([self._feature(sound) for sound in sounds])

    def _feature(self, sound: Tensor) -> np.ndarray:
        sound = torch.nn.functional.pad(sound, (0, max(0, 400 - len(sound))))
        normalised = sound / sound.square().mean().sqrt().clamp(min=1e-4)
        cepstra = self.cepstra(normalised)[None, 1:]  # (1, 15, t), without the zeroth, the loudness
        fixed = torch.nn.functional.interpolate(cepstra, self.frames, mode="linear")[0]  # (15, frames)
        return (fixed - fixed.mean(1, keepdim=True)).flatten().numpy()
