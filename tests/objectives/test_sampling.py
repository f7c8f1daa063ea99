"""Filters (top-k, top-p, min-p, repetition penalty) and sampling of ids."""

from dataclasses import replace

import pytest
import torch

from mot_lightning.objectives.base import Request
from mot_lightning.objectives.sampling import repetition_penalty, sample_ids, top_k_top_p_min_p
from mot_lightning.seeds import generator_for

LOGITS = 3 * torch.randn(50, 40, generator=torch.Generator().manual_seed(0))


def kept(**settings):
    return top_k_top_p_min_p(LOGITS, **settings).isfinite()


def test_top_k_keeps_the_k_likeliest_ids():
    likeliest = kept(top_k=3)
    assert (likeliest.sum(-1) == 3).all()
    assert (LOGITS[likeliest].view(50, 3).amin(-1) >= LOGITS.masked_fill(likeliest, -torch.inf).amax(-1)).all()
    assert kept(top_k=1000).all()


@pytest.mark.parametrize("share", [1e-9, 0.3, 0.9, 1.0])
def test_top_p_keeps_the_smallest_set_of_ids(share):
    probability, likeliest = LOGITS.softmax(-1), kept(top_p=share)
    assert (likeliest.sum(-1) >= 1).all()
    mass = (probability * likeliest).sum(-1)
    assert (mass >= share - 1e-5).all()
    least = probability.masked_fill(~likeliest, 2).amin(-1)
    assert share == 1 or (mass - least < share).all()


def test_min_p_keeps_ids_relative_to_the_likeliest():
    probability = LOGITS.softmax(-1)
    assert torch.equal(kept(min_p=0.2), probability >= 0.2 * probability.amax(-1, keepdim=True))
    assert (kept(min_p=1.0).sum(-1) == 1).all()


def test_repetition_penalty_lowers_seen_logits_of_either_sign():
    logits, seen = torch.tensor([2.0, -2.0, 2.0, -2.0]), torch.tensor([True, True, False, False])
    assert repetition_penalty(logits, seen, 2.0).tolist() == [1.0, -4.0, 2.0, -2.0]


def test_filters_equal_the_transformers_logits_processors():
    processors = pytest.importorskip("transformers.generation.logits_process")
    ids = torch.randint(40, (50, 5), generator=torch.Generator().manual_seed(1))
    theirs = processors.RepetitionPenaltyLogitsProcessor(1.7)(ids, LOGITS.clone()) / 0.7
    for warper in (
        processors.TopKLogitsWarper(12),
        processors.TopPLogitsWarper(0.8),
        processors.MinPLogitsWarper(0.05),
    ):
        theirs = warper(ids, theirs)
    seen = torch.zeros_like(LOGITS, dtype=torch.bool).scatter(1, ids, True)
    ours = top_k_top_p_min_p(repetition_penalty(LOGITS, seen, 1.7) / 0.7, 12, 0.8, 0.05)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("settings", [{}, {"temperature": 2.0}, {"top_k": 2}])
def test_ids_are_sampled_by_their_probabilities(settings):
    n, logits = 20_000, torch.tensor([1.0, 0.0, -1.0])
    request = replace(Request([generator_for(0)]), **settings)
    frequency = sample_ids(logits.expand(1, n, 3), request)[0].bincount(minlength=3) / n
    scaled = top_k_top_p_min_p(logits / request.temperature, request.top_k)
    torch.testing.assert_close(frequency, scaled.softmax(-1), rtol=0, atol=0.015)


def test_each_sequence_uses_its_own_generator():
    together = sample_ids(LOGITS[:2], Request([generator_for(1), generator_for(2)]))
    alone = [sample_ids(LOGITS[i : i + 1], Request([generator_for(i + 1)])) for i in range(2)]
    assert torch.equal(together, torch.cat(alone))


def test_zero_temperature_is_greedy_after_the_penalty():
    seen = torch.zeros(1, 3, dtype=torch.bool)
    seen[0, 0] = True
    request = Request([generator_for(0)], temperature=0, repetition_penalty=3.0)
    assert sample_ids(torch.tensor([[2.0, 1.0, 0.0]]), request).item() == 0
    assert sample_ids(torch.tensor([[2.0, 1.0, 0.0]]), request, seen).item() == 1
