"""What a modality's loss is the mean of, and how hard each modality pulls."""

from functools import cache

import pytest
import torch
from conftest import TOKENS, make_model
from test_resume import TINY, rows, run

from mot_lightning.backbone import BackboneSettings
from mot_lightning.callbacks.gradient_norms import gradient_norms
from mot_lightning.codecs import Bytes, Patches
from mot_lightning.model import Losses
from mot_lightning.module import Modality, MoTModule
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.packing import pack
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Segment

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


@every_reduction
def test_a_loss_is_the_mean_of_what_its_reduction_says(reduction):
    own, batch = module(reduction), packed(document(2), document(9, images=2, loss=False), document(0))
    text, image = (torch.rand(len(batch.parts[n].target), generator=generator_for(1)) for n in ("text", "image"))
    losses = {
        name: Losses(loss, batch.parts[name].weight, batch.parts[name].content)
        for name, loss in (("image", image), ("text", text))
    }
    # images: 4 patches each, of which the second document's two carry no loss
    learned = torch.cat([image[:4], image[12:]])
    # text: the words and their stop, then what begins next: text, image(s), end of document
    words = [text[:3], text[6:16], text[20:21]]
    control = torch.cat([text[3:6], text[16:20], text[21:]])
    content = [*[True] * 3, *[False] * 3, *[True] * 10, *[False] * 4, True, *[False] * 3]
    assert batch.parts["text"].content.tolist() == content
    expected = {
        "token": 2 * text.mean() + 3 * learned.mean(),
        "segment": 2 * torch.stack([*(part.mean() for part in words), *control]).mean() + 3 * learned.mean(),
        "batch": (2 * text.sum() + 3 * learned.sum()) / (len(text) + len(learned)),
    }[reduction]
    torch.testing.assert_close(own.weighted(own.sums(losses, batch)), expected)


@every_reduction
def test_sums_of_two_batches_are_those_of_one(reduction):
    """So that ranks, and batches of a validation, add up to what one would have seen."""
    own = module(reduction)
    parts = [document(2), document(9, loss=False)], [document(5, images=2)]

    def sums(*documents):
        batch = packed(*documents)
        found = {
            n: Losses(part.target.float().view(len(part.target), -1).sum(1), part.weight, part.content)
            for n, part in batch.parts.items()
        }
        return own.sums(found, batch)

    torch.testing.assert_close(sums(*parts[0]) + sums(*parts[1]), sums(*parts[0], *parts[1]))


@every_reduction
def test_a_batch_without_a_modality_has_a_finite_loss(reduction):
    own, batch = module(reduction), packed(document(3, images=0))
    loss = own.weighted(own.sums(own.model(batch, generator_for(0)), batch))
    assert loss.isfinite()
    assert loss > 0


@pytest.mark.parametrize("towers", [{}, {"all": ["text", "image", "speech"]}], ids=["own", "shared"])
def test_a_modalitys_gradient_norm_is_over_all_weights_that_its_tokens_pass(towers):
    model = make_model(towers=towers)
    ids = [[Segment("text", torch.arange(4)), Segment("image", torch.randn(4, TOKENS["image"].latent_dim))]]
    sum(own.loss.sum() for own in model(pack(ids, model.grammar, 16), generator_for(0)).values()).backward()
    found = gradient_norms(model)
    for name in ("text", "image", "speech"):
        weights = {p for passed in model.weights_of(name) for p in passed.parameters()}
        expected = sum(float(p.grad.square().sum()) for p in weights) ** 0.5
        assert found[name].item() == pytest.approx(expected, rel=1e-4)
    if towers:
        shared = sum(float(p.grad.square().sum()) for p in model.backbone.parameters()) ** 0.5
        assert min(found["text"], found["image"], found["speech"]) > 0.3 * shared
    else:
        assert found["speech"] == 0


def test_a_run_logs_gradient_norms_every_few_steps(tmp_path):
    arguments = ["--gradient_norms.every_n_steps=4", "--model.reduction=segment", "--report.prompts=0"]
    assert run(tmp_path, "fit", *TINY, *arguments) == 0
    logged = [row for row in rows(tmp_path / "default/0") if row.get("train/image/grad_norm")]
    assert [int(row["step"]) for row in logged] == [1, 4, 6]
    assert all(float(row[f"train/{name}/grad_norm"]) > 0 for row in logged for name in ("text", "image", "speech"))
