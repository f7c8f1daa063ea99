"""Loss reductions."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from randomised import often

from datamodules.steps import targets_of
from mot_lightning.backbone import BackboneSettings
from mot_lightning.codecs import Bytes, Patches
from mot_lightning.modality import Modality
from mot_lightning.model import Losses
from mot_lightning.module import MoTModule
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Segment, Step, pack
from mot_lightning.training.losses import Sums

FLOAT32 = {"rtol": 1e-6, "atol": 1e-5}  # of the weights of segments
every_reduction = pytest.mark.parametrize("reduction", ["token", "segment", "batch"])


@cache
def module(reduction):
    modalities = {
        "text": Modality(Bytes(), NextToken(), weight=2.0),
        "image": Modality(Patches((1, 4, 4), 2), FlowMatching(), weight=3.0),
    }
    return MoTModule(modalities, "text", BackboneSettings(dim=16, depth=1, heads=1), reduction=reduction)


def document(n, images=1, loss=True):
    generator = generator_for(n)
    text = Segment("text", torch.randint(256, (n,), generator=generator))
    return [text, *(Segment("image", torch.randn(4, 4, generator=generator), loss=loss) for _ in range(images))]


def packed(*documents):
    return pack(documents, module("token").model.grammar, 64)


def total(experiment, losses, batch):
    sums = experiment.sums(losses, batch)
    return experiment.loss_weights.total(sums.loss, sums.targets)


@every_reduction
def test_total_loss_follows_the_reduction(reduction):
    experiment, batch = module(reduction), packed(document(2), document(9, images=2, loss=False), document(0))
    text, image = (torch.rand(len(batch.by_modality[n].target), generator=generator_for(1)) for n in ("text", "image"))
    losses = {
        name: Losses(loss, batch.by_modality[name].weight, batch.by_modality[name].content)
        for name, loss in (("image", image), ("text", text))
    }
    # images: 4 patches each, of which the second document's two carry no loss
    with_loss = torch.cat([image[:4], image[12:]])
    # text: words with their stop id, then the control tokens: text, image(s), end of document
    words = [text[:3], text[6:16], text[20:21]]
    control = torch.cat([text[3:6], text[16:20], text[21:]])
    content = [*[True] * 3, *[False] * 3, *[True] * 10, *[False] * 4, True, *[False] * 3]
    assert batch.by_modality["text"].content.tolist() == content
    expected = {
        "token": 2 * text.mean() + 3 * with_loss.mean(),
        "segment": 2 * torch.stack([*(part.mean() for part in words), *control]).mean() + 3 * with_loss.mean(),
        "batch": (2 * text.sum() + 3 * with_loss.sum()) / (len(text) + len(with_loss)),
    }[reduction]
    torch.testing.assert_close(total(experiment, losses, batch), expected)


@every_reduction
def test_sums_of_two_batches_add_up_to_the_joint_batch(reduction):
    """Ranks, and batches of a validation, are reduced by adding their sums."""
    experiment = module(reduction)
    parts = [document(2), document(9, loss=False)], [document(5, images=2)]

    def sums(*documents):
        batch = packed(*documents)
        losses = {
            n: Losses(part.target.float().view(len(part.target), -1).sum(1), part.weight, part.content)
            for n, part in batch.by_modality.items()
        }
        return experiment.sums(losses, batch).stack()

    torch.testing.assert_close(sums(*parts[0]) + sums(*parts[1]), sums(*parts[0], *parts[1]))


@often
@every_reduction
def test_any_division_of_documents_into_batches_and_ranks_has_the_loss_of_the_joint_batch(reduction, tried):
    experiment = module(reduction)

    @tried
    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.booleans(), st.integers(0, 3)), min_size=1))
    def equal(kinds):
        parts = {}
        for n, images, loss, place in kinds:
            parts.setdefault(place, []).append(document(n, images, loss))
        documents = [one for part in parts.values() for one in part]

        def sums(documents):
            batch = packed(*documents)
            losses = {
                name: Losses(
                    part.target.double().flatten(1).sum(1) if part.target.dim() > 1 else part.target.double(),
                    part.weight,
                    part.content,
                )
                for name, part in batch.by_modality.items()
            }
            return experiment.sums(losses, batch)

        joint, apart = sums(documents), [sums(part) for part in parts.values()]
        added = Sums.unstack(sum(one.stack() for one in apart))
        # as in training: the loss of each batch over the targets of the whole step
        step = Step(0, len(parts), targets_of([packed(*part) for part in parts.values()]), np.array([]), 0)
        assert added.targets.tolist() == pytest.approx(experiment.loss_weights.targets(step))
        total = sum(experiment.loss_weights.total(one.loss, added.targets) for one in apart)
        torch.testing.assert_close(added.stack(), joint.stack(), **FLOAT32)
        torch.testing.assert_close(total, experiment.loss_weights.total(joint.loss, joint.targets), **FLOAT32)

    equal()


@every_reduction
def test_batch_without_a_modality_has_a_finite_loss(reduction):
    experiment, batch = module(reduction), packed(document(3, images=0))
    loss = total(experiment, experiment.model(batch, 0), batch)
    assert loss.isfinite()
    assert loss > 0


def loss_of_targets(experiment, *documents):
    """The sums of a batch whose losses are its targets."""
    batch = packed(*documents)
    losses = {
        name: Losses(part.target.float().view(len(part.target), -1).square().sum(1), part.weight, part.content)
        for name, part in batch.by_modality.items()
    }
    return experiment.sums(losses, batch)


def weighted(document, *weights):
    return [segment._replace(weight=weight) for segment, weight in zip(document, weights, strict=True)]


@every_reduction
def test_a_segment_of_weight_2_counts_as_two_would(reduction):
    experiment, one, other = module(reduction), document(5), document(3)
    twice, heavy = (
        loss_of_targets(experiment, *documents) for documents in ([one, one, other], [weighted(one, 2.0, 2.0), other])
    )
    for name in ("content_loss", "content_targets"):
        torch.testing.assert_close(getattr(twice, name), getattr(heavy, name))
    image = experiment.modalities.index("image")  # without control tokens, which have no weight
    torch.testing.assert_close(twice.loss[image], heavy.loss[image])
    torch.testing.assert_close(twice.targets[image], heavy.targets[image])


def test_a_segment_of_weight_0_is_context():
    whole = document(5)
    context = [segment._replace(loss=False) for segment in whole]
    for a, b in zip(packed(weighted(whole, 0.0, 0.0)).by_modality.values(),
                    packed(context).by_modality.values(), strict=True):  # fmt: skip
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@every_reduction
def test_a_common_weight_of_all_images_changes_no_loss(reduction):
    experiment, losses = module(reduction), []
    for weight in (1.0, 0.01):
        sums = loss_of_targets(experiment, weighted(document(5), 0.0, weight))
        image = experiment.modalities.index("image")
        losses.append(sums.loss[image] / sums.targets[image])
        if reduction != "batch":
            text = torch.zeros_like(sums.loss).index_fill(0, torch.tensor(image), 1)
            losses.append(experiment.loss_weights.total(sums.loss * text, sums.targets) / 3)
    torch.testing.assert_close(torch.stack(losses), losses[0].expand(len(losses)))


def test_unstack_inverts_stack():
    columns = torch.arange(10.0).view(5, 2)
    assert torch.equal(Sums.unstack(Sums(*columns).stack()).stack(), columns.T)
    for name, column in zip(Sums._fields, columns, strict=False):
        assert torch.equal(getattr(Sums.unstack(columns.T), name), column)
