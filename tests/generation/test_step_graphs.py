"""Steps that are captured compute the same: where the device places tokens on any device, as graphs on CUDA."""

import pytest
import torch
from conftest import make_model, needs_cuda

from mot_lightning.generation import Context
from mot_lightning.generation.step_graphs import StepGraphs


def filled(model, lengths=(3, 9, 6), device="cpu", dtype=torch.float64):
    """A context of sequences of different lengths."""
    generator = torch.Generator().manual_seed(0)
    context = Context(model.backbone, len(lengths))
    x = torch.randn(len(lengths), max(lengths), 32, generator=generator, dtype=torch.float64)
    context.append(x.to(device, dtype), "text", True, counts=torch.tensor(lengths, device=device))
    return context


@pytest.mark.parametrize("others", [{}, {"kv_heads": 1}], ids=["mot", "shared_keys"])
@torch.inference_mode()
def test_slots_from_the_device_equal_those_from_the_host(others):
    model = make_model(**others).double()
    context, other, x = filled(model), filled(model), torch.randn(3, 1, 32, dtype=torch.float64)
    expected = context.peek(x, "text", True)
    hidden = other._hidden(x, "text", other._place_on_device(other.lengths, 16), None)
    torch.testing.assert_close(hidden, expected, rtol=1e-12, atol=1e-12)
    for row, n in enumerate(context.lengths.tolist()):
        torch.testing.assert_close(other.cache[:, :, row, :, : n + 1], context.cache[:, :, row, :, : n + 1])


@needs_cuda
@torch.inference_mode()
def test_captured_tokens_equal_uncaptured_ones_while_the_cache_grows():
    captured, uncaptured = (make_model(cuda_graphs=graphs).cuda() for graphs in (True, False))
    contexts = [filled(model, device="cuda", dtype=torch.float32) for model in (captured, uncaptured)]
    for number in range(150):
        x = torch.randn(3, 1, 32, device="cuda")
        counts = torch.tensor([1, int(number < 50), 1], device="cuda")  # the second sequence ends
        ours, expected = (context.append(x, "text", True, counts=counts) for context in contexts)
        torch.testing.assert_close(ours[counts > 0], expected[counts > 0], rtol=1e-4, atol=1e-4)
    assert contexts[0].lengths.tolist() == contexts[1].lengths.tolist()
    assert len(contexts[0].graphs.captured) == 1


@needs_cuda
@pytest.mark.parametrize("shared", [True, False])
@torch.inference_mode()
def test_captured_denoising_equals_uncaptured_denoising_bitwise(shared):
    captured, uncaptured = (make_model(cuda_graphs=graphs).cuda() for graphs in (True, False))
    contexts = [filled(model, device="cuda", dtype=torch.float32) for model in (captured, uncaptured)]
    for _ in range(2):
        vectors = torch.randn(5, 32, device="cuda")
        of_both = [[*context.adapt("image", vectors)] for context in contexts] if shared else [vectors.split(1)] * 2
        for conditions in zip(*of_both, strict=True):
            x = torch.randn(3, 4, 32, device="cuda")
            ours, expected = (
                context.peek(x, "image", False, condition)
                for context, condition in zip(contexts, conditions, strict=True)
            )
            assert torch.equal(ours, expected)
        for context in contexts:  # the next image is elsewhere
            context.append(torch.ones(3, 7, 32, device="cuda"), "text", True)
    assert len(contexts[0].graphs.captured) == 1


def test_first_step_of_a_kind_and_place_runs_uncaptured(monkeypatch):
    monkeypatch.setattr("mot_lightning.generation.step_graphs._Step", lambda step, inputs: lambda *new: "captured")
    graphs = StepGraphs()
    kinds_and_places = [("a", 1), ("a", 1), ("b", 1), ("a", 1), ("a", 2), ("a", 2)]
    ran = [graphs(kind, place, lambda: "as is") for kind, place in kinds_and_places]
    assert ran == ["as is", "captured", "as is", "captured", "as is", "captured"]
