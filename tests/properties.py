"""Assertions of properties that hold for every implementation."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from mot_lightning.generation import Context, GenerationSettings, generate
from mot_lightning.sequence import assign_rows, pack

CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # float32 sums in another order


def plain(modalities=(), **settings):
    """Settings that sample from the unmodified distribution, unless overridden."""
    return GenerationSettings(modalities, **{"temperature": 1.0, "top_p": 1.0, "guidance": 1.0, **settings})


def hidden_states(model, documents, row_length=256):
    """Hidden states of each document in sequence order, (length, d), with every segment clean."""
    documents = [[segment._replace(loss=False) for segment in document] for document in documents]
    batch = pack(documents, model.grammar, row_length)
    layout = batch.layout
    captured = {}
    handle = model.backbone.register_forward_hook(lambda m, i, out: captured.update(hidden=out))
    with torch.no_grad():
        model(batch, 0)
    handle.remove()
    grid = torch.zeros(layout.document.numel(), captured["hidden"].shape[-1])
    grid[layout.slot] = captured["hidden"]
    grid = grid.view(*layout.document.shape, -1)  # (b, s, d)
    lengths = [model.grammar.length(document) for document in documents]
    offsets = assign_rows(lengths, row_length)
    return [grid[row, start : start + n] for (row, start), n in zip(offsets, lengths, strict=True)]


def total_loss(model, batch, seed=1):
    return sum((one.loss * one.weight).sum() for one in model(batch, seed).values())


def assert_same_losses(model, a, b, other=None, **tolerance):
    """Two batches of the same documents have equal losses; the second may use another model."""
    with torch.no_grad():
        one, two = model(a, 1), (other or model)(b, 1)
    for name in one:
        torch.testing.assert_close(one[name].loss, two[name].loss, **tolerance)


def assert_packed_equals_unpacked(model, documents):
    """Hidden states and losses are equal whether documents share rows or have separate rows."""
    longest = max(map(model.grammar.length, documents))
    together, apart = pack(documents, model.grammar, 256), pack(documents, model.grammar, longest)
    assert together.layout.document.shape[0] < apart.layout.document.shape[0]
    assert_same_losses(model, together, apart, **CLOSE)
    alone = [hidden_states(model, [document])[0] for document in documents]
    torch.testing.assert_close(hidden_states(model, documents), alone, **CLOSE)


def changed(model, document, segment, token):
    """The document with one token replaced, and the slot of that token."""
    old = document[segment]
    tokens = old.tokens.clone()
    kind = model.grammar.tokens[old.modality]
    tokens[token] = (tokens[token] + 1) % kind.vocab_size if kind.discrete else tokens[token] + 1
    new = [*document[:segment], old._replace(tokens=tokens), *document[segment + 1 :]]
    return new, model.grammar.length(document[:segment]) + 1 + token


def assert_no_token_sees_its_future(model, document, segment, token):
    """Changing a token keeps all hidden states before it or, in a bidirectional segment, before the segment."""
    new, slot = changed(model, document, segment, token)
    (before,), (after,) = hidden_states(model, [document]), hidden_states(model, [new])
    bidirectional = not model.grammar.causal[document[segment].modality]
    first = slot - token if bidirectional else slot
    torch.testing.assert_close(after[:first], before[:first], rtol=0, atol=1e-6)
    if bidirectional:
        whole = slice(first, first + len(document[segment].tokens))
        assert ((after[whole] - before[whole]).abs().amax(-1) > 1e-4).all()
    assert (after[slot] - before[slot]).abs().max() > 1e-4
    assert (after[-1] - before[-1]).abs().max() > 1e-6  # later tokens of any modality attend to it


def assert_documents_do_not_mix(model, documents, number, segment, token):
    """Changing one document of a row changes no other document of that row."""
    new, _ = changed(model, documents[number], segment, token)
    before = hidden_states(model, documents)
    after = hidden_states(model, [*documents[:number], new, *documents[number + 1 :]])
    for i in range(len(documents)):
        if i != number:
            torch.testing.assert_close(after[i], before[i], rtol=0, atol=1e-6)


def cached_hidden_states(model, documents, one_by_one=False):
    """Hidden states as in `hidden_states`, through a cache; documents share modalities, but not lengths."""
    grammar, rows = model.grammar, len(documents)
    pieces = [(grammar.control, [torch.tensor([grammar.end_of_document])] * rows)]
    for segments in zip(*documents, strict=True):
        name = segments[0].modality
        begins = [torch.tensor([grammar.begin_of(name, len(segment.tokens))]) for segment in segments]
        pieces.append((grammar.control, begins))
        pieces.append((name, [segment.tokens for segment in segments]))
        pieces.append((grammar.control, [torch.tensor([grammar.end[name]])] * rows))
    context, states = Context(model.backbone, rows, capacity=2), [[] for _ in documents]
    for name, tokens in pieces:
        lengths, causal = torch.tensor([len(ids) for ids in tokens]), grammar.causal[name]
        padded = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)
        steps = padded.split(1, 1) if one_by_one and causal else [padded]
        for i, step in enumerate(steps):
            counts = (lengths - i).clamp(0, 1) if len(steps) > 1 else lengths
            with torch.no_grad():
                x, condition = model.objectives[name].embed_clean(step)
                hidden = context.append(x, name, causal, condition, counts)
            for row, kept in enumerate(counts.tolist()):
                states[row].append(hidden[row, :kept])
    return [torch.cat(parts) for parts in states], context


def assert_cached_equals_packed(model, documents, one_by_one):
    cached, context = cached_hidden_states(model, documents, one_by_one)
    expected = hidden_states(model, documents)
    torch.testing.assert_close(cached, expected, **CLOSE)
    torch.testing.assert_close(context.last, torch.stack([states[-1] for states in expected]), **CLOSE)
    assert context.lengths.tolist() == [len(states) for states in expected]


def assert_same_segments(a, b):
    """Two generated documents have equal modalities and ids, and close latents."""
    assert [segment.modality for segment in a] == [segment.modality for segment in b]
    for one, two in zip(a, b, strict=True):
        torch.testing.assert_close(one.tokens, two.tokens, rtol=1e-4, atol=1e-4)


def assert_a_sample_does_not_depend_on_its_batch(model, prompts, settings):
    together = generate(model, prompts, settings)
    for number, prompt in enumerate(prompts):
        (alone,) = generate(model, [prompt], settings, samples=[number])
        assert_same_segments(together[number], alone)


def tie_towers(model):
    """Copy the first tower's weights to every tower."""
    for layer in model.backbone.layers:
        for tower in layer.towers[1:]:
            weights = tower.state_dict()
            shared = {k: v for k, v in layer.towers[0].state_dict().items() if k in weights}
            tower.load_state_dict({**weights, **shared})
    for norm in model.backbone.norms[1:]:
        norm.load_state_dict(model.backbone.norms[0].state_dict())


def copy_tied(tied, dense):
    """Copy the weights of a model with tied towers to a model with one tower."""
    dense.objectives.load_state_dict(tied.objectives.state_dict())
    dense.backbone.norms[0].load_state_dict(tied.backbone.norms[0].state_dict())
    for one, layer in zip(dense.backbone.layers, tied.backbone.layers, strict=True):
        merged = {}
        for tower in layer.towers:
            merged |= tower.state_dict()  # equal except for the adaptive norms, which are per modality
        one.towers[0].load_state_dict(merged)


def linear_flops(model, batch):
    """FLOPs of the linear layers in a forward pass, without attention and elementwise operations."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(batch, 0)
    counts = counter.get_flop_counts()["Global"]
    return sum(n for operation, n in counts.items() if operation in (torch.ops.aten.mm, torch.ops.aten.addmm))
