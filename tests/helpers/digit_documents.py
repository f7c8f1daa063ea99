"""Documents about digits, with codecs that need no fitting."""

import numpy as np
import torch

from datamodules import Digits
from datamodules.documents import DocumentSettings
from datamodules.sampler import SampleIndex
from mot_lightning.codecs import Bytes, Patches
from mot_lightning.sequence import Grammar, Tokens

COUNT = 2000


class Loudness:
    """Speech units that need no fitting: the loudness of each 40 ms in eight levels."""

    vocab_size, latent_dim, length = 8, None, None

    def bytes_per_token(self):
        return None

    def encode(self, sound):
        frames = torch.nn.functional.pad(sound, (0, -len(sound) % 320)).view(-1, 320)
        return (8 * frames.abs().mean(1)).long().clamp(max=7)


CODECS = {"text": Bytes(), "image": Patches((1, 8, 8), 2), "speech": Loudness()}


def digits(names=("text", "image", "speech"), control="text", codecs=CODECS, shown=None, **settings) -> Digits:
    """Data connected to a model of the named modalities; `shown` are its document settings."""
    data = Digits(document_settings=DocumentSettings(**(shown or {})), **settings)
    data.setup("fit")
    tokens = {name: Tokens(codecs[name].vocab_size, codecs[name].latent_dim, codecs[name].length) for name in names}
    causal = {name: name != "image" for name in names}
    data.connect({name: codecs[name] for name in names}, Grammar(tokens, causal, control, sorted(names)))
    return data


def composed(data, split="train", count=COUNT):
    """(item, document) pairs before encoding."""
    size = data.size(split)
    return [(i % size, data.compose(split, i % size, np.random.default_rng((9, i)))) for i in range(count)]


def encoded(data, split="train", count=COUNT):
    documents = data.documents(split)
    return [documents[SampleIndex(i % len(documents), i)] for i in range(count)]


def kinds(document):
    return [part.modality for part in document]


def assert_share(hits, count, share):
    """A count of `count` independent draws lies within four standard errors of its share."""
    assert abs(hits - count * share) <= 4 * (count * share * (1 - share)) ** 0.5


def same(a, b):
    return len(a) == len(b) and all(
        x._replace(tokens=None) == y._replace(tokens=None) and torch.equal(x.tokens, y.tokens)
        for x, y in zip(a, b, strict=True)
    )


def image_places(document):
    """(segment, whether another segment follows) of each image."""
    return [(s, i + 1 < len(document)) for i, s in enumerate(document) if s.modality == "image"]
