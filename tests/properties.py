"""Properties as functions, to be asserted of every implementation."""

import torch

from mot_lightning.objectives.base import generator_for
from mot_lightning.sequence import assign_rows, pack


def hidden_states(model, documents, row_length=256):
    """Hidden states of each document in sequence order, (length, d), with every segment shown clean."""
    documents = [[segment._replace(loss=False) for segment in document] for document in documents]
    batch = pack(documents, model.grammar, row_length)
    layout = batch.layout
    captured = {}
    handle = model.backbone.register_forward_hook(lambda m, i, out: captured.update(hidden=out))
    with torch.no_grad():
        model(batch, generator_for(0))
    handle.remove()
    grid = torch.zeros(layout.document.numel(), captured["hidden"].shape[-1])
    grid[layout.order] = captured["hidden"]
    grid = grid.view(*layout.document.shape, -1)  # (b, s, d)
    lengths = [model.grammar.length(document) for document in documents]
    places = assign_rows(lengths, row_length)
    return [grid[row, start : start + n] for (row, start), n in zip(places, lengths, strict=True)]


def assert_same_losses(model, a, b, **tolerance):
    """Two batches of the same documents have the same losses, whatever their packing."""
    with torch.no_grad():
        one, two = model(a, generator_for(1)), model(b, generator_for(1))
    for name in one:
        torch.testing.assert_close(one[name].loss, two[name].loss, **tolerance)


def tie_towers(model):
    """Give every tower the first one's weights."""
    for layer in model.backbone.layers:
        for tower in layer[1:]:
            own = tower.state_dict()
            shared = {k: v for k, v in layer[0].state_dict().items() if k in own}
            tower.load_state_dict({**own, **shared})
    for norm in model.backbone.norms[1:]:
        norm.load_state_dict(model.backbone.norms[0].state_dict())
