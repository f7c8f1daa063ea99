"""What is observed is context alone: it trains by what follows it, and nothing of it is predicted or sampled."""

import pytest
import torch
from conftest import SMALL
from properties import plain, total_loss

from mot_lightning.analysis.ledger.flops import costs
from mot_lightning.generation import generate
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import FlowMatching, NextToken, Observed
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Segment, Tokens, pack

TOKENS = {
    "text": Tokens(vocab_size=20),
    "image": Tokens(latent_dim=3, length=4),
    "view": Tokens(latent_dim=5, max_length=9, decodable=False),
    "codes": Tokens(vocab_size=7),
}


@pytest.fixture
def model():
    torch.manual_seed(0)
    objectives = {"text": NextToken(), "image": FlowMatching(), "view": Observed(), "codes": Observed()}
    model = MixtureOfTransformers(objectives, TOKENS, "text", SMALL)
    for parameter in model.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape)
    return model.eval()


def view(n=6, seed=0):
    return Segment("view", torch.randn(n, 5, generator=generator_for(seed)))


CODES = Segment("codes", torch.tensor([6, 0, 3]))
TEXT = Segment("text", torch.tensor([5, 7]))
IMAGE = Segment("image", torch.ones(4, 3))


@pytest.mark.parametrize("observed", [view(), CODES])
def test_what_follows_depends_on_it_and_it_has_no_loss(model, observed):
    other = observed._replace(tokens=observed.tokens.flip(0))
    losses, changed = (model(pack([[one, TEXT]], model.grammar, 64)) for one in (observed, other))
    for name in ("view", "codes"):
        assert losses[name].loss.shape == losses[name].weight.shape == (0,)
    assert not torch.isclose(
        losses["text"].loss[losses["text"].content], changed["text"].loss[changed["text"].content]
    ).any()


def test_no_loss_flag_weight_or_noise_of_it_matters(model):
    shown = view()._replace(loss=False, weight=0.0, noise_cap=0.1)
    one, two = (total_loss(model, pack([[segment, TEXT, IMAGE]], model.grammar, 64)) for segment in (view(), shown))
    assert one == two


def test_its_tokens_see_each_other(model):
    last_visible = pack([[view(3), TEXT]], model.grammar, 64).layout.last_visible
    assert last_visible.tolist() == [[0, 1, 4, 4, 4, 5, 6, 7, 8, 9]]


def test_its_begin_token_is_no_target(model):
    grammar = model.grammar
    part = pack([[TEXT, view(), IMAGE, CODES]], grammar, 64).by_modality["text"]
    weights = dict(zip(part.target[~part.content].tolist(), part.weight[~part.content].tolist(), strict=True))
    assert weights == {
        grammar.begin["text"]: 1,
        grammar.begin["view"]: 0,
        grammar.begin["image"]: 1,
        grammar.begin["codes"]: 0,
        grammar.end_of_document: 1,
    }
    assert grammar.begins["view"] == [grammar.begin["view"]]  # its length is not predicted, so that it needs no ids


@pytest.mark.parametrize("observed", [view(), CODES])
def test_what_follows_trains_its_embedding_and_tower_and_no_other_tower_of_media(model, observed):
    total_loss(model, pack([[observed, TEXT]], model.grammar, 64)).backward()
    assert all(p.grad is not None for p in model.parameters())  # DDP waits for each
    norms = {
        name: sum(p.grad.abs().sum() for module in model.weights_of(name) for p in module.parameters()).item()
        for name in ("view", "codes", "image")
    }
    assert [name for name, norm in norms.items() if norm > 0] == [observed.modality]
    assert model.objectives[observed.modality].input.weight.grad.any()


def test_the_model_never_chooses_it(model):
    bias = model.objectives["text"].head.weight.data
    with torch.no_grad():  # of all tokens, it would choose to begin these
        bias[[model.grammar.begin[name] for name in ("view", "codes")]] = 100 * bias.abs().amax()
    prompts = [[view(4)], [CODES], [view(9), TEXT], []]
    settings = plain(max_segments=6, max_length=3)
    continued = generate(model, 10 * prompts, settings)
    assert sum(map(len, continued)) > 20
    assert {segment.modality for document in continued for segment in document} == {"image", "text"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modalities": ("view",)}, r"modalities names 'view' \(it is only observed\), wanted some of image, text"),
        ({"guidance": {"view": 2.0}}, r"guidance names 'view' \(it is only observed\), wanted some of image, text"),
        ({"lengths": {"codes": 3}}, r"lengths names 'codes' \(it is only observed\), wanted some of image, text"),
    ],
)
def test_to_ask_for_it_is_refused_in_one_line(model, settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        generate(model, [[TEXT]], plain(**settings))


def test_a_prompt_of_it_is_read_as_in_training(model):
    """The sampled text is the likeliest by the logits of packed documents."""
    prompt = [view(5), CODES]
    (sampled,) = generate(model, [prompt], plain(("text",), temperature=0.0, max_length=3))
    (segment,) = sampled
    likeliest = []
    for _ in segment.tokens:
        losses = []
        for id in range(TOKENS["text"].vocab_size):
            document = [*prompt, Segment("text", torch.tensor([*likeliest, id]))]
            one = model(pack([document], model.grammar, 64))["text"]
            losses.append(one.loss[one.content][len(likeliest)].item())
        likeliest.append(min(range(len(losses)), key=losses.__getitem__))
    assert segment.tokens.tolist() == likeliest != []


def test_it_has_no_head_in_the_ledger(model):
    batch = pack([[view(), TEXT]], model.grammar, 64)
    cost = costs(model, batch)["view"]
    embedding = 2 * TOKENS["view"].latent_dim * model.backbone.settings.dim
    assert cost.flops - cost.layer_flops == pytest.approx(embedding)


def test_it_cannot_sample_and_says_so(model):
    with pytest.raises(ValueError, match="Observed is the objective of what is to be sampled"):
        model.objectives["view"].sample(None, None)
