import pytest
import torch
from conftest import TOKENS, make_model

from mot_lightning.callbacks.telemetry.gradient_cosines import cosine, gradients_by_modality
from mot_lightning.sequence import Segment, pack

TOWERS = {"all": ["text", "image", "speech"]}


def test_gradients_of_modalities_add_up_to_that_of_the_sum():
    model = make_model(towers=TOWERS)
    document = [Segment("text", torch.arange(4)), Segment("image", torch.randn(4, TOKENS["image"].latent_dim))]
    batch = pack([document], model.grammar, 16)
    gradients = gradients_by_modality(model, batch)
    assert {*gradients} == {"text", "image"}
    assert all(p.grad is None for p in model.parameters())  # what training accumulates stays as it is
    losses = model(batch, 0)
    sum((losses[n].loss * losses[n].weight).sum() / losses[n].weight.sum() for n in gradients).backward()
    expected = torch.cat([p.grad.flatten() for p in model.backbone.parameters()])
    assert torch.allclose(sum(gradients.values()), expected, atol=1e-5)


@pytest.mark.parametrize(("towers", "shared"), [({}, False), (TOWERS, True)], ids=["mot", "dense"])
def test_documents_of_another_modality_leave_a_tower_of_its_own_alone(towers, shared):
    model = make_model(towers=towers)
    documents = [[Segment("image", torch.randn(4, TOKENS["image"].latent_dim))], [Segment("speech", torch.arange(3))]]
    gradient = gradients_by_modality(model, pack(documents, model.grammar, 16))["image"]
    of_speech = {id(p) for module in model.backbone.weights_of("speech") for p in module.parameters()}
    parts = gradient.split([p.numel() for p in model.backbone.parameters()])
    moved = [bool(part.any()) for part, p in zip(parts, model.backbone.parameters(), strict=True) if id(p) in of_speech]
    assert any(moved) is shared


def test_cosine_is_of_the_weights_that_both_move():
    apart, shared = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0])
    nothing = torch.zeros(2)
    assert cosine([apart, shared], [nothing, torch.tensor([1.0, 1.0])]) == pytest.approx(0.5**0.5)
    assert cosine([apart, nothing], [nothing, shared]) is None
