"""One layer of one tower: what each part of an adaptive-norm condition changes."""

import pytest
import torch

from mot_lightning.backbone import BackboneSettings, Condition
from mot_lightning.backbone.tower import TowerLayer

DIM, PARTS = 8, 6  # shift, scale and gate of the attention, then of the feed-forward branch


@pytest.fixture
def layer():
    """A layer for two modalities; the first is conditioned, by a modulation initialised to zero."""
    torch.manual_seed(0)
    layer = TowerLayer(("image", "text"), frozenset({"image"}), BackboneSettings(dim=DIM, heads=2, ffn_dim=16))
    layer.adapt["image"].linear.weight.data.zero_()
    layer.adapt["image"].linear.bias.data.zero_()
    return layer


@torch.no_grad()
def run(layer, conditioned=True):
    """Queries, keys and values, and the output, of three image tokens in two segments and two text tokens."""
    x, gathered = torch.randn(2, 5, DIM, generator=torch.Generator().manual_seed(1))
    condition = Condition(torch.ones(2, DIM), torch.tensor([0, 1, 1]))
    counts = {"image": 3, "text": 2}
    modulation = layer.modulation(counts, {"image": condition}, 0) if conditioned else []
    return x, layer.project(x, modulation), layer(x, gathered.view(5, 2, DIM // 2), modulation)


def adapt(layer, part, value):
    layer.adapt["image"].linear.bias.data[part * DIM : (part + 1) * DIM] = value


def test_zero_modulation_equals_no_condition(layer):
    for one, other in zip(run(layer), run(layer, conditioned=False), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("part", range(PARTS))
def test_each_modulation_part_affects_only_its_branch(layer, part):
    _, before, plain = run(layer)
    # a constant scale would vanish in the norm of the queries and keys
    adapt(layer, part, torch.linspace(-0.5, 1, DIM))
    _, after, adapted = run(layer)
    enters_attention, follows_attention = part in (0, 1), part >= 2
    assert bool((after[:3] - before[:3]).abs().max() > 1e-3) == enters_attention
    assert bool((adapted[:3] - plain[:3]).abs().max() > 1e-3) == follows_attention
    assert torch.equal(after[3:], before[3:])  # the other modality of the tower has no condition
    assert torch.equal(adapted[3:], plain[3:])


@pytest.mark.parametrize(("shift", "scale", "gate"), [(0, 1, 2), (3, 4, 5)])
def test_shift_follows_scale_and_gate_closes_its_branch(layer, shift, scale, gate):
    adapt(layer, scale, -1.0)
    adapt(layer, shift, 0.3)
    _, queries, _ = run(layer)
    if shift == 0:  # only the shift is left of each token
        torch.testing.assert_close(queries[:3], queries[:1].expand_as(queries[:3]))
    for closed in (2, 5):
        adapt(layer, closed, -1.0)
    x, _, output = run(layer)
    torch.testing.assert_close(output[:3], x[:3])
    adapt(layer, gate, 0.0)
    x, _, output = run(layer)
    assert (output[:3] - x[:3]).abs().max() > 1e-3
    if shift == 3:  # every token adds the same vector
        torch.testing.assert_close(output[1:3] - x[1:3], (output[:1] - x[:1]).expand(2, -1))


def test_fixed_length_segments_are_modulated_as_ragged_ones(layer):
    layer.adapt["image"].linear.weight.data.normal_(generator=torch.Generator().manual_seed(2))
    x, gathered = torch.randn(2, 8, DIM, generator=torch.Generator().manual_seed(1))
    vector, segment = torch.randn(2, DIM), torch.tensor([0, 0, 0, 1, 1, 1])
    outputs = []
    for length in (None, 3):
        modulation = layer.modulation({"image": 6, "text": 2}, {"image": Condition(vector, segment, length)}, 0)
        outputs.append((layer.project(x, modulation), layer(x, gathered.view(8, 2, DIM // 2), modulation)))
    torch.testing.assert_close(*outputs)


def test_biases_are_those_of_queries_keys_and_values_alone():
    layer = TowerLayer(("text",), frozenset(), BackboneSettings(dim=DIM, heads=2, ffn_dim=16, qkv_bias=True))
    assert [name for name, _ in layer.named_parameters() if name.endswith("bias")] == ["qkv.bias"]
    assert not layer.qkv.bias.any()
    with torch.no_grad():
        layer.qkv.bias.copy_(torch.arange(24.0))
        assert layer.project(torch.zeros(1, DIM), [])[0].tolist() == list(range(24))
