import pytest
import torch
from conftest import TOKENS, make_model

from mot_lightning.backbone.attention import attention_mask
from mot_lightning.callbacks.telemetry.attention_mass import _seen, attention_masses
from mot_lightning.sequence import Segment, pack


def batch_of(model, *documents):
    segments = {
        "text": Segment("text", torch.arange(4)),
        "image": Segment("image", torch.randn(4, TOKENS["image"].latent_dim)),
        "speech": Segment("speech", torch.arange(3)),
    }
    return pack([[segments[name] for name in document] for document in documents], model.grammar, 32)


def test_shares_add_up_to_one_for_modalities_that_are_there():
    model = make_model()
    for mass in attention_masses(model, batch_of(model, ["text", "image"])):
        named = dict(zip(model.grammar.groups, mass.sum(1).tolist(), strict=True))
        assert named == pytest.approx({"text": 1, "image": 1, "speech": 0}, abs=1e-5)


def test_nothing_attends_to_what_comes_later_or_in_another_document():
    model = make_model()
    groups = list(model.grammar.groups)
    text, image = groups.index("text"), groups.index("image")
    mass = attention_masses(model, batch_of(model, ["text"], ["image"]))[0]
    assert mass[image, text] < 1  # its control tokens are of text
    first = attention_masses(model, batch_of(model, ["speech", "image"]))[0]
    assert first[groups.index("speech"), image] == 0


@pytest.mark.parametrize("kv_heads", [0, 1])
def test_attention_is_that_of_the_model(kv_heads):
    """The attention (n, n) times the values is what the layer's own attention gives, in the mean over heads."""
    model = make_model(kv_heads=kv_heads, attention="sdpa")
    batch = batch_of(model, ["text", "image", "speech"])
    shares, seen = [], []

    def remember(module, arguments):
        x, counts, position, attend, conditions = arguments

        def both(layer, q, k, v):
            same = v.mean(1, keepdim=True).expand_as(v).contiguous()  # equal values in all heads
            seen.append((same[:, 0], attend(layer, q, k, same).mean(1)))
            return attend(layer, q, k, v)

        return x, counts, position, both, conditions

    row = torch.arange(len(batch.layout.slot))
    with torch.no_grad(), _seen(model, batch.layout, row, shares):
        handle = model.backbone.register_forward_pre_hook(remember, prepend=True)
        model(batch, 0)
        handle.remove()
    assert len(shares) == len(seen) == len(model.backbone.layers)
    for share, (values, attended) in zip(shares, seen, strict=True):
        assert torch.allclose(share @ values, attended, atol=1e-5)
    assert attention_mask(batch.layout).shape[-1] >= len(row)


def test_no_attention_to_what_a_modality_does_not_see():
    model = make_model(sees={"image": ["image"]}, joined_layers=[0, 1])
    groups = list(model.grammar.groups)
    text, image, speech = (groups.index(name) for name in ("text", "image", "speech"))
    first, second = attention_masses(model, batch_of(model, ["text", "speech", "image", "text"]))
    assert min(first[text, image], first[speech, text]) > 0
    assert torch.allclose(second, torch.eye(3))
    assert torch.allclose(first[image], torch.eye(3)[image])
