"""Records of a text, some of which are longer than a row, and of a picture."""

import PIL.Image
import torch

from datamodules import Records
from datamodules.columns import ImageColumn, TextColumn
from datamodules.documents import DocumentSettings
from datamodules.sources import Source
from mot_lightning.codecs import Bytes, Patches
from mot_lightning.modality import tokens_of
from mot_lightning.sequence import Grammar

ROW = 48
CODECS = {"text": Bytes(), "image": Patches((3, 8, 8), 4)}  # 4 tokens an image
TOKENS = {name: tokens_of(codec) for name, codec in CODECS.items()}
GRAMMAR = Grammar(TOKENS, {"text": True, "image": False}, "text", ("image", "text"))
COUNT = 24


def text_of(index: int) -> str:
    return "".join(chr(97 + (index + k) % 26) for k in range(10 + 61 * (index % 3)))


class LongTexts(Source):
    def setup(self) -> None:
        pass

    def __len__(self) -> int:
        return COUNT

    def record(self, index):
        return {"text": text_of(index), "image": PIL.Image.new("RGB", (8, 8), (10 * index, 0, 0))}


def records(form: str = "text", dropout: float = 0.0, **settings) -> Records:
    """Connected to codecs that need no fitting; a third of the texts fits a row."""
    data = Records(
        LongTexts(), {"text": TextColumn(), "image": ImageColumn("image", (3, 8, 8))}, {form: 1.0}, val=0.25, test=0,
        document_settings=DocumentSettings(condition_dropout=dropout),
        **{"row_length": ROW, "batch_size": 4, **settings},
    )  # fmt: skip
    data.setup("fit")
    data.connect(dict(CODECS), GRAMMAR)
    return data


def content(batch, name: str = "text") -> list[int]:
    """The tokens of a modality in a batch, without control tokens."""
    part = batch.by_modality[name]
    return part.tokens[part.segment >= 0].tolist()


def flat(text: str) -> list[int]:
    return torch.as_tensor(CODECS["text"].encode(text)).tolist()
