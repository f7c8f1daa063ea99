"""Control ids with tables of their own are embedded, predicted and sampled apart from all other ids."""

import pytest
import torch
import torch.nn.functional as F
from conftest import SMALL, TOKENS

from mot_lightning.backbone import BackboneSettings
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.objectives.base import Request
from mot_lightning.seeds import generator_for

FIRST = 21  # control id, after 20 ids of the codec and the one that ends a text


@pytest.fixture
def model():
    objectives = {"text": NextToken(decouple_control=True), "image": FlowMatching(), "speech": NextToken()}
    torch.manual_seed(0)
    return MixtureOfTransformers(objectives, TOKENS, "text", BackboneSettings(**vars(SMALL))).eval()


@torch.no_grad()
def test_each_kind_of_id_is_predicted_among_its_kind(model):
    text, hidden = model.objectives["text"], torch.randn(28, 32)
    target = torch.arange(28)
    losses = text.cross_entropy(hidden, target)
    logits = text.logits(hidden)
    assert logits.shape == (28, 28)
    content = F.cross_entropy(logits[:FIRST, :FIRST], target[:FIRST], reduction="none")
    control = F.cross_entropy(logits[FIRST:, FIRST:], target[FIRST:] - FIRST, reduction="none")
    torch.testing.assert_close(losses, torch.cat([content, control]))


def test_each_id_has_an_embedding_and_a_gradient_of_its_own(model):
    text = model.objectives["text"]
    embeddings = text.embed_clean(torch.arange(28)[None])[0][0]
    assert len(embeddings.unique(dim=0)) == 28
    text.embed_clean(torch.tensor([[model.grammar.begin["image"], 3]]))[0].sum().backward()
    changed = {
        name: int(weight.grad.any(1).sum()) for name, weight in text.named_parameters() if weight.grad is not None
    }
    assert changed == {"embedding.weight": 1, "control.others.weight": 1, "control.alone.weight": 0}


@torch.no_grad()
def test_a_segment_to_come_is_chosen_by_the_logits_of_control_ids(model):
    text, grammar = model.objectives["text"], model.grammar
    hidden, ids = torch.randn(1, 32), torch.tensor([grammar.begin["image"], grammar.begin["speech"]])
    best = ids[text.logits(hidden)[0, ids].argmax()]
    assert text.choose(hidden, ids, Request([generator_for(0)], temperature=0)) == best


def test_control_rows_without_a_control_modality_or_with_a_codebook():
    with pytest.raises(ValueError, match=r"^lookup is 'codebook' and decouple_control is true, wanted one of them$"):
        NextToken(lookup="codebook", decouple_control=True)
    objectives = {"text": NextToken(), "speech": NextToken(decouple_control=True)}
    tokens = {name: TOKENS[name] for name in objectives}
    model = MixtureOfTransformers(objectives, tokens, "text", BackboneSettings(**vars(SMALL)))
    assert model.objectives["speech"].control is None  # it has no control ids


@torch.no_grad()
@pytest.mark.parametrize("tie", [False, True])
def test_control_ids_are_embedded_as_large_as_others_at_first(tie):
    objectives = {"text": NextToken(tie=tie, decouple_control=True), "image": FlowMatching(), "speech": NextToken()}
    torch.manual_seed(0)
    text = MixtureOfTransformers(objectives, TOKENS, "text", BackboneSettings(**vars(SMALL))).objectives["text"]
    embeddings = text.embed_clean(torch.arange(28)[None])[0][0]
    control, content = embeddings[FIRST:].std(), embeddings[:FIRST].std()
    assert control / content == pytest.approx(1, rel=0.2)
    assert text.control.head.weight.std() / text.head.weight.std() == pytest.approx(1, rel=0.2)
