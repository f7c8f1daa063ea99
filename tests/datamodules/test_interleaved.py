"""Batches of documents: resumable in training, every item once in validation."""

from itertools import islice

import numpy as np
import pytest
import torch
from digit_documents import digits

from datamodules import Digits


def test_batches_after_load_state_dict_equal_uninterrupted_ones():
    whole = list(islice(digits(batch_size=8).train_dataloader(), 12))
    resumed = digits(batch_size=8)
    resumed.load_state_dict({**resumed.state_dict(), "consumed": 5 * 8})
    for a, b in zip(whole[5:], islice(resumed.train_dataloader(), 7), strict=True):
        assert a.layout.counts == b.layout.counts
        assert all(np.array_equal(x, y) for x, y in zip(a.layout, b.layout, strict=True))
        for name in a.by_modality:
            assert all(torch.equal(x, y) for x, y in zip(a.by_modality[name], b.by_modality[name], strict=True))


def test_validation_uses_every_item_once_and_is_deterministic():
    data = digits(batch_size=7)
    passes = [list(data.val_dataloader()) for _ in range(2)]
    # documents of a batch are numbered from zero
    documents = sum(int(b.layout.document.max()) + 1 for b in passes[0])
    assert documents == data.size("val")
    assert [b.layout.counts for b in passes[0]] == [b.layout.counts for b in passes[1]]


def test_documents_before_connect_raise():
    data = Digits()
    data.setup("fit")
    with pytest.raises(RuntimeError, match="connect"):
        data.documents("train")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"batch_size": 0}, "data.batch_size is 0, wanted"), ({"row_length": 3}, "data.row_length is 3, wanted")],
)
def test_invalid_settings_raise_a_one_line_error(settings, message):
    with pytest.raises(ValueError, match=message) as refused:
        Digits(**settings)
    assert "\n" not in str(refused.value)


def test_train_codec_on_yields_raw_media():
    data = Digits(batch_size=7)
    data.setup("fit")
    data.train_codec_on("image")
    batches = list(data.val_dataloader())
    assert torch.equal(torch.cat(batches), torch.stack(data.images["val"].media))
    assert next(iter(data.train_dataloader())).shape == (7, 1, 8, 8)
