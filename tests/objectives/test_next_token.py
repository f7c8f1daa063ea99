"""Sampling of the next id, and weight tying."""

import pytest
import torch

from mot_lightning.analysis.ledger import costs, total_parameters
from mot_lightning.backbone import BackboneSettings
from mot_lightning.generation import GenerationSettings, generate
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import NextToken
from mot_lightning.objectives.base import Request
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Segment, Tokens, pack

PROBABILITIES = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15])
ALL = slice(0, 5)


@pytest.fixture
def objective():
    """Predicts PROBABILITIES for a hidden state of 1."""
    objective = NextToken()
    objective.build(1, Tokens(vocab_size=5))
    objective.head.weight.data = PROBABILITIES.log()[:, None]
    return objective


@torch.no_grad()
def choose(objective, rows, ids=ALL, start=0, **settings):
    generators = [generator_for(7, start + i) for i in range(rows)]
    return objective.choose(torch.ones(rows, 1), ids, Request(generators, **settings))


def assert_frequencies(chosen, expected):
    """Frequencies lie within four standard errors of the expected ones."""
    frequency = chosen.bincount(minlength=len(expected)) / len(chosen)
    error = (expected * (1 - expected) / len(chosen)).sqrt()
    assert ((frequency - expected).abs() <= 4 * error).all(), frequency


def test_zero_temperature_is_greedy(objective):
    assert choose(objective, 3, temperature=0).tolist() == [1, 1, 1]
    assert choose(objective, 2, torch.tensor([0, 4, 2]), temperature=0).tolist() == [4, 4]


def test_ids_are_sampled_by_their_probabilities(objective):
    assert_frequencies(choose(objective, 4000), PROBABILITIES)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_rescales_the_distribution(objective, temperature):
    expected = PROBABILITIES ** (1 / temperature)
    assert_frequencies(choose(objective, 2000, temperature=temperature), expected / expected.sum())


def test_only_the_given_ids_are_sampled(objective):
    among = torch.tensor([4, 0, 2])
    expected = torch.zeros(5).index_copy(0, among, PROBABILITIES[among] / PROBABILITIES[among].sum())
    assert_frequencies(choose(objective, 2000, among), expected)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.01, [1]), (0.39, [1]), (0.6, [1, 3]), (0.8, [1, 3, 4]), (1.0, [*range(5)])]
)
def test_top_p_keeps_the_smallest_set_of_ids(objective, top_p, kept):
    expected = torch.zeros(5)
    expected[kept] = PROBABILITIES[kept] / PROBABILITIES[kept].sum()
    chosen = choose(objective, 2000, top_p=top_p)
    assert set(chosen.tolist()) == set(kept)
    assert_frequencies(chosen, expected)


def test_row_depends_only_on_its_generator(objective):
    together = choose(objective, 50)
    assert [choose(objective, 1, start=i).item() for i in range(50)] == together.tolist()
    assert torch.equal(choose(objective, 20, start=30), together[30:])


def test_tied_embedding_shares_weights_and_keeps_scale_and_flops():
    tokens = {"text": Tokens(vocab_size=50)}
    settings = BackboneSettings(dim=256, depth=1, heads=4)
    tied, free = (MixtureOfTransformers({"text": NextToken(tie)}, tokens, "text", settings) for tie in (True, False))
    text = tied.objectives["text"]
    assert text.embedding.weight is text.head.weight
    assert total_parameters(free) - total_parameters(tied) == text.head.weight.numel()
    ids = torch.arange(50)
    for model in (tied, free):
        assert model.objectives["text"].embed_clean(ids)[0].std().item() == pytest.approx(1, abs=0.05)
    batch = pack([[Segment("text", ids)]], tied.grammar, 64)
    passed = {name: costs(model, batch)["text"] for name, model in (("tied", tied), ("free", free))}
    assert passed["tied"].flops == passed["free"].flops
    assert passed["free"].parameters - passed["tied"].parameters == 256  # one embedding row


def test_embedding_scale_multiplies_the_rows_of_the_table():
    for settings, scale in (({}, 1), ({"embedding_scale": 3.0}, 3), ({"tie": True, "embedding_scale": 1.0}, 1)):
        text = NextToken(**settings)
        text.build(8, Tokens(vocab_size=5))
        ids = torch.tensor([4, 0])
        torch.testing.assert_close(text.embed_clean(ids)[0], scale * text.embedding.weight[ids])
    with pytest.raises(ValueError, match=r"^embedding_scale is 0, wanted above 0"):
        NextToken(embedding_scale=0)


def test_tied_model_overfits_and_generates_a_sequence():
    objective = {"text": NextToken(tie=True)}
    model = MixtureOfTransformers(objective, {"text": Tokens(vocab_size=9)}, "text", BackboneSettings(64, 1, 2))
    ids = torch.tensor([3, 1, 4, 1, 5, 2, 6, 5, 3, 8])
    batch = pack([[Segment("text", ids)]], model.grammar, 32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        model(batch, 0)["text"].loss.mean().backward()
        optimizer.step()
    ((segment,),) = generate(model.eval(), [[]], GenerationSettings(("text",), temperature=0))
    assert segment.tokens.tolist() == ids.tolist()
