"""Embedding of ids: by a learned table, or by the codebook of the codec."""

import pytest
import torch
from conftest import SMALL

from datamodules import Digits
from mot_lightning.codecs import VQ, Bytes, LogMelUnits
from mot_lightning.modality import Modality
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.module import MoTModule
from mot_lightning.objectives import MaskedToken, NextToken
from mot_lightning.sequence import Tokens

CODES = Tokens(vocab_size=5, length=4, codebook=(5, 3))
of_ids = pytest.mark.parametrize("objective", [NextToken, MaskedToken])


def built(objective):
    torch.manual_seed(0)
    model = MixtureOfTransformers(
        {"text": NextToken(), "codes": objective(lookup="codebook")},
        {"text": Tokens(vocab_size=4), "codes": CODES},
        "text",
        SMALL,
    )
    return model.objectives["codes"]


def embedded(objective, ids):
    return objective.embedding(torch.tensor(ids))


@of_ids
def test_codebook_lookup_is_affine_in_the_code_vectors(objective):
    codes, codebook = built(objective), torch.randn(5, 3)
    codebook[1], codebook[3] = codebook[0], (codebook[0] + codebook[2]) / 2
    codes.set_codebook(codebook)
    first, same, other, between, last = embedded(codes, [0, 1, 2, 3, 4])
    assert torch.equal(first, same)
    torch.testing.assert_close(between, (first + other) / 2)
    assert (last - first).norm() > 1


@of_ids
def test_codebook_lookup_is_invariant_to_scale_and_offset(objective):
    codes, codebook = built(objective), torch.randn(5, 3)
    codes.set_codebook(codebook)
    expected = embedded(codes, [0, 1, 2, 3, 4])
    codes.set_codebook(codebook * torch.tensor([1e-3, 1.0, 1e3]) + 1)
    torch.testing.assert_close(embedded(codes, [0, 1, 2, 3, 4]), expected, rtol=1e-3, atol=1e-3)


def test_stop_id_has_a_learned_row():
    codes = built(NextToken)
    for _ in range(2):
        codes.set_codebook(torch.randn(5, 3))
        assert torch.equal(embedded(codes, [5]), codes.embedding.others.weight)
    assert built(MaskedToken).embedding.others is None  # has no stop id


def test_fitted_codebook_is_set_in_model_and_ema_model():
    modalities = {
        "text": Modality(Bytes(), NextToken()),
        "image": Modality(VQ((1, 8, 8), vocab_size=8, steps=10), MaskedToken(lookup="codebook")),
        "speech": Modality(LogMelUnits(vocab_size=16), NextToken(lookup="codebook")),
    }
    module = MoTModule(modalities, "text", SMALL)
    module.prepare(Digits(batch_size=2))
    for name in ("image", "speech"):
        codebook = module.codecs[name].codebook
        codes = (codebook - codebook.mean(0)) / codebook.std(0)
        for weights in ("model", "ema_model"):
            torch.testing.assert_close(module.state_dict()[f"{weights}.objectives.{name}.embedding.codes"], codes)


@pytest.mark.parametrize("make", [lambda: VQ((1, 8, 8), vocab_size=8, steps=10), lambda: LogMelUnits(vocab_size=16)])
def test_each_code_vector_is_nearest_to_its_own_id(make):
    data, codec = Digits(), make()
    data.setup("fit")
    media = data.media("image" if isinstance(codec, VQ) else "speech", "train")[:40]
    codec.fit(media)
    assert codec.codebook.shape[0] == codec.vocab_size
    ids = torch.arange(codec.vocab_size)
    if isinstance(codec, VQ):
        grid = codec.codebook.T.reshape(1, -1, 2, 4)  # eight latents, one per code
        assert codec._nearest(grid)[0].tolist() == ids.tolist()
    else:
        assert torch.cdist(codec.codebook, codec.codebook).argmin(1).tolist() == ids.tolist()


def test_invalid_lookup_raises_a_one_line_error():
    with pytest.raises(ValueError, match=r"^lookup is 'codebook', wanted 'table': the codec has no codebook$"):
        MixtureOfTransformers({"text": NextToken(lookup="codebook")}, {"text": Tokens(vocab_size=4)}, "text", SMALL)
    with pytest.raises(ValueError, match=r"^lookup is 'codebook' and tie is true, wanted one of them"):
        NextToken(tie=True, lookup="codebook")
    with pytest.raises(ValueError, match=r"^lookup is 'codes', wanted 'table' or 'codebook'$"):
        MaskedToken(lookup="codes")


@of_ids
def test_lookup_before_set_codebook_raises(objective):
    with pytest.raises(RuntimeError, match="the codebook is not set"):
        embedded(built(objective), [0])
