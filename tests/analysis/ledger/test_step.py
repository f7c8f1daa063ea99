"""What a training step costs, against PyTorch's FLOP counter on real forward and backward passes."""

import numpy as np
import pytest
import torch
from conftest import make_document, make_model
from torch.utils.checkpoint import set_checkpoint_early_stop
from torch.utils.flop_counter import FlopCounterMode

from mot_lightning.analysis.ledger import costs, step_cost
from mot_lightning.backbone.moe import MoESettings, collect_router_stats, experts_of
from mot_lightning.sequence import pack

DENSE = {"all": ["text", "image", "speech"]}
MODELS = {
    "mot": {},
    "dense": {"towers": DENSE},
    "experts": {"towers": DENSE, "experts": {"all": MoESettings(choice="token", top_k=2)}},
    "tied": {"untie": ["ffn"]},
    "half tied": {"untied_layers": [1, 2], "kv_heads": 1},
}


def some_batch(model, *kinds, seed=0):
    rng = np.random.default_rng(seed)
    return pack([make_document(rng, names) for names in kinds], model.grammar, 64)


def under_the_mask(batch):
    """An attention that multiplies each query with its visible keys alone, so that a counter sees the real mask."""
    layout = batch.layout
    document, position, last = (
        x.flatten()[layout.slot] for x in (layout.document, layout.position, layout.last_visible)
    )
    visible = (document[:, None] == document) & (position <= last[:, None])

    def attend(layer, q, k, v):
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1).transpose(0, 1) for x in (k, v))
        rows = []
        for query, keys in zip(q, visible, strict=True):
            weights = (query[:, None] @ k[:, keys].mT * q.shape[-1] ** -0.5).softmax(-1)
            rows.append((weights @ v[:, keys])[:, 0])
        return torch.stack(rows)

    return attend


def measured(model, batch, monkeypatch):
    """FLOPs of a real forward and backward pass."""
    monkeypatch.setattr("mot_lightning.model.build_attention", lambda *_: under_the_mask(batch))
    with FlopCounterMode(display=False) as counter, set_checkpoint_early_stop(False):
        with collect_router_stats(experts_of(model)) as stats:
            losses = model(batch)
        loss = sum(loss.sum() for loss, *_ in losses.values()) + sum(each.loss for each in stats.values())
        loss.backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("image", ["adaln", "additive"])
@pytest.mark.parametrize("settings", MODELS.values(), ids=MODELS)
def test_training_flops_are_those_of_a_real_step(settings, image, monkeypatch):
    model = make_model(image, **settings).train()
    batch = some_batch(model, ["text", "image", "speech", "text"], ["image", "text"], ["speech"])
    assert step_cost(model, [batch]).flops == pytest.approx(measured(model, batch, monkeypatch), rel=0.01)


def test_activation_checkpointing_adds_the_forward_pass_of_the_layers(monkeypatch):
    model = make_model("additive", activation_checkpointing=True).train()
    batch = some_batch(model, ["text", "image", "speech"])
    cost = step_cost(model, [batch])
    assert cost.flops + cost.layer_flops == pytest.approx(measured(model, batch, monkeypatch), rel=0.01)
    assert 0 < cost.layer_flops < cost.flops / 3  # the heads are no layers


def test_step_is_the_mean_over_batches_by_tokens():
    model = make_model()
    short, long = some_batch(model, ["text"]), some_batch(model, ["text", "image", "text"], ["text"], seed=1)
    step = step_cost(model, [short, long], per_step=4)
    flops = 0.0
    for batch in (short, long):
        for name, cost in costs(model, batch).items():
            flops += len(batch.by_modality[name].tokens) * 3 * cost.flops
    assert step.flops == pytest.approx(4 * flops / 2)
    assert step.tokens["image"] == 4 * (0 + 4) / 2
    text, image = (step.by_modality[name].parameters for name in ("text", "image"))
    assert min(text, image) < step.active_parameters < max(text, image)
