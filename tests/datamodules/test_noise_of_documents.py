"""A document's loss is a function of (seed, document): its batch, its place there and its row do not matter."""

import numpy as np
import pytest
import torch
from digit_documents import CODECS, digits

from datamodules.sampler import SampleIndex
from mot_lightning.backbone import BackboneSettings
from mot_lightning.modality import tokens_of
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import FlowMatching, MaskedToken, NextToken
from mot_lightning.sequence import Tokens, pack

KINDS = {"text": tokens_of(CODECS["text"]), "image": tokens_of(CODECS["image"]), "speech": Tokens(8, max_length=60)}
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    objectives = {"text": NextToken(), "image": FlowMatching(), "speech": MaskedToken()}
    model = MixtureOfTransformers(objectives, KINDS, "text", BackboneSettings(dim=16, depth=2, heads=2)).double()
    for parameter in model.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, dtype=torch.float64)
    return model.eval()


@pytest.fixture(scope="module")
def data(model):
    data = digits(shown={"clean_context": 0.3, "noise_cap": 0.7})
    data.grammar = model.grammar
    return data


def losses(model, documents, row_length=256, seed=0):
    """The sum of the losses of each document, (documents, modalities)."""
    batch = pack(documents, model.grammar, row_length)
    sums = torch.zeros(len(documents), len(model.objectives), dtype=torch.float64)
    document = batch.layout.document.flatten()[batch.layout.slot]
    with torch.no_grad():
        for column, (name, (loss, weight, _)) in enumerate(model(batch, seed).items()):
            sums[:, column].index_add_(0, document[batch.by_modality[name].read_at], (loss * weight).double())
    return sums


def test_loss_of_a_document_does_not_depend_on_its_batch(model, data):
    documents = [data.documents("train")[SampleIndex(item, number)] for item, number in enumerate(range(100, 116))]
    together = losses(model, documents)
    assert (together > 0).any(0).all()
    longest = max(map(model.grammar.length, documents))
    torch.testing.assert_close(losses(model, documents, longest), together, **CLOSE)  # a row for each
    order = np.random.default_rng(0).permutation(len(documents))
    torch.testing.assert_close(losses(model, [documents[i] for i in order]), together[order], **CLOSE)
    for size in (1, 5):
        parts = [losses(model, documents[i : i + size]) for i in range(0, len(documents), size)]
        torch.testing.assert_close(torch.cat(parts), together, **CLOSE)


def test_noise_differs_between_documents_seeds_and_splits(model, data):
    """Of one image, as several documents have it; a run's seed is the model's, a corpus' seed the data's."""
    index = SampleIndex(3, 7)
    image = next(segment for segment in data.documents("train")[SampleIndex(0, 0)] if segment.modality == "image")
    others = [index._replace(number=8), index._replace(repeat=1)]
    seeds = [data.documents("train")[one][0].seed for one in (index, *others)]
    seeds.append(data.documents("val")[index][0].seed)
    seeds += [segment.seed for segment in data.documents("train")[SampleIndex(0, 0)]]
    alone = [losses(model, [[image._replace(seed=seed, loss=True)]])[0, 0].item() for seed in {*seeds}]
    alone.append(losses(model, [[image._replace(loss=True)]], seed=1)[0, 0].item())
    assert len({*alone}) == len({*seeds}) + 1 == len(seeds) + 1
    assert data.documents("train")[index][0].seed == seeds[0]
    assert data.documents("train")[index][0].seed != digits(seed=1).documents("train")[index][0].seed


def test_segments_without_a_seed_have_one_by_their_place(model, data):
    document = [segment._replace(seed=None) for segment in data.documents("train")[SampleIndex(0, 0)]]
    batch = pack([document, document], model.grammar, 256)
    assert not batch.seeded
    seeds = torch.cat([part.segment_seed for part in batch.by_modality.values()])
    assert len({*seeds.tolist()}) == 2 * len(document)


def test_no_two_tokens_of_a_batch_share_a_seed(model, data):
    documents = [data.documents("train")[SampleIndex(number, number)] for number in range(16)]
    batch = pack(documents, model.grammar, 256)
    assert batch.seeded
    seeds = torch.cat([part.token_seed for part in batch.by_modality.values()])
    assert len({*seeds.tolist()}) == len(seeds) == sum(batch.layout.counts)
    for part in batch.by_modality.values():
        assert part.token_seed.shape == part.segment.shape
