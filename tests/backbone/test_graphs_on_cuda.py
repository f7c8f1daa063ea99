"""Training steps captured as CUDA graphs equal uncaptured ones, for batches of all sizes and in any order."""

import copy

import numpy as np
import pytest
import torch
from conftest import make_document, make_model, needs_cuda, on

from mot_lightning.objectives import FlowMatching
from mot_lightning.sequence import pack

pytestmark = [needs_cuda, pytest.mark.filterwarnings("ignore")]  # warnings of torch.compile


class Fixed(FlowMatching):
    """Flow matching with deterministic times and noise."""

    def sample_times(self, cap, noise):
        return cap / 2

    def corrupt(self, x_0, noise, t):
        return super().corrupt(x_0, x_0.flip(0), t)


def batch_of(model, times, kinds=("text", "image", "speech")):
    rng = np.random.default_rng(times)
    documents = [make_document(rng, kinds), make_document(rng, kinds[::-1]), make_document(rng, ["text"])]
    return on("cuda", pack(documents * times, model.grammar, 64))


def loss_of(model, batch):
    return sum((one.loss * one.weight).sum() for one in model(batch).values())


def gradients(model, batch, dtype=torch.float32):
    model.zero_grad()
    with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
        loss = loss_of(model, batch)
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def pair(**others):
    """A model whose steps are captured, and an equal one whose steps are not."""
    return [make_model(Fixed(), cuda_graphs=graphs, **others).train().cuda() for graphs in (True, False)]


def assert_close(ours, expected, tolerance=1e-4):
    torch.testing.assert_close(ours[0], expected[0], rtol=tolerance, atol=0)
    assert ours[1].keys() == expected[1].keys()
    whole = torch.cat([g.flatten() for g in expected[1].values()]).norm()
    for name, gradient in ours[1].items():
        assert (gradient - expected[1][name]).norm() <= tolerance * whole, name


@pytest.mark.parametrize(
    ("others", "dtype"),
    [
        ({}, torch.float32),
        ({"compile": True}, torch.bfloat16),
        ({"towers": {"all": ["text", "image", "speech"]}, "kv_heads": 1}, torch.float32),
        ({"rope_2d": True, "norm": "res_post", "untie": ["ffn"]}, torch.float32),
    ],
    ids=["mot", "compiled", "dense", "tied"],
)
def test_captured_steps_equal_uncaptured_ones(others, dtype):
    captured, plain = pair(**others)
    for times in (1, 20, 1, 60, 20):
        batch = batch_of(plain, times)
        tolerance = 1e-4 if dtype == torch.float32 else 3e-2
        assert_close(gradients(captured, batch, dtype), gradients(plain, batch, dtype), tolerance)
    assert len(captured.backbone.graphs.captured) == 3


def test_batches_without_a_modality():
    captured, plain = pair()
    for kinds in (("text", "speech"), ("image", "text")):
        batch = batch_of(plain, 2, kinds)
        assert_close(gradients(captured, batch), gradients(plain, batch))


def test_gradients_accumulate_and_graphs_share_memory():
    captured, plain = pair()
    for model in (captured, plain):
        model.zero_grad()
        for times in (2, 2, 50, 2):
            loss_of(model, batch_of(model, times)).backward()
    for (name, p), q in zip(captured.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-3 * float(q.grad.abs().max()), msg=name)


def test_two_forward_passes_before_their_backward_passes():
    captured, plain = pair()
    batches = [batch_of(plain, times) for times in (2, 2, 40)]
    for model in (captured, plain):
        model.zero_grad()
        losses = [loss_of(model, batch) for batch in batches]
        for loss in losses:
            loss.backward()
    for (name, p), q in zip(captured.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-3 * float(q.grad.abs().max()), msg=name)


def test_overwritten_activations_are_an_error():
    captured, _ = pair()
    batch = batch_of(captured, 2)
    loss = loss_of(captured, batch)
    loss.backward(retain_graph=True)
    loss_of(captured, batch).backward()
    with pytest.raises(RuntimeError, match="a later batch has overwritten these activations"):
        loss.backward()


def test_changed_weights_count_and_copies_start_without_graphs():
    captured, plain = pair()
    batch = batch_of(plain, 2)
    gradients(captured, batch)
    with torch.no_grad():
        for model in (captured, plain):
            for parameter in model.parameters():
                parameter.mul_(0.9)
    assert_close(gradients(captured, batch), gradients(plain, batch))
    assert not copy.deepcopy(captured).backbone.graphs.captured
    captured.cpu().cuda()  # weights elsewhere
    assert_close(gradients(captured, batch), gradients(plain, batch))
    for model in (captured, plain):
        model.backbone.layers[0].requires_grad_(False)
    assert_close(gradients(captured, batch), gradients(plain, batch))


def test_captured_dropout_differs_from_step_to_step_and_follows_the_seed():
    model = make_model(Fixed(), cuda_graphs=True, dropout=0.5).train().cuda()
    batch, losses = batch_of(model, 2), []
    gradients(model, batch)  # captures
    for seed in (1, 2, 1):
        torch.cuda.manual_seed(seed)
        losses.append(float(gradients(model, batch)[0]))
    assert losses[0] == losses[2] != losses[1]


def test_replayed_step_does_not_synchronise():
    model = make_model(cuda_graphs=True).train().cuda()
    batch = batch_of(model, 2)
    for number in range(3):  # the first captures
        torch.cuda.set_sync_debug_mode("error" if number else "default")
        try:
            sum((one.loss * one.weight).sum() for one in model(batch).values()).backward()
            model.zero_grad()
        finally:
            torch.cuda.set_sync_debug_mode("default")
