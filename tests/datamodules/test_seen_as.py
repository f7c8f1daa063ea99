"""A medium that is read has another modality than one that is made, in documents, codecs and tasks."""

import json
import re
from itertools import product

import pytest
import torch
from digit_documents import CODECS, encoded, kinds, same
from lengths import assert_lengths_are_those_of_packing
from runs import ROOT, TINY, failing, rows, run, weights

from datamodules import Digits, Mixture, Records
from datamodules.columns import ImageColumn, TextColumn
from datamodules.documents import DocumentSettings, Medium
from datamodules.encoding import check_encodable
from datamodules.interleaved import InterleavedDataModule
from datamodules.sources import Source
from mot_lightning import MoTPipeline
from mot_lightning.backbone import BackboneSettings
from mot_lightning.codecs import Patches
from mot_lightning.evaluation import reconstructed, whole
from mot_lightning.modality import tokens_of
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import FlowMatching, NextToken, Observed
from mot_lightning.sequence import Grammar, Tokens, pack

VIEW = {"image": "view"}
ALL = {**CODECS, "view": Patches((1, 8, 8), 4)}
ROLES = f"--config={ROOT / 'conf/backbone/role_towers.yaml'}"


def grammar(observed=("view",)):
    tokens = {name: Tokens(codec.vocab_size, codec.latent_dim, codec.length) for name, codec in ALL.items()}
    return Grammar(tokens, {name: name in ("text", "speech") for name in ALL}, "text", sorted(ALL), observed)


def connected(data):
    data.setup("fit")
    data.connect(dict(ALL), grammar())
    return data


def digits(seen_as=VIEW, shown=None, **settings):
    shown = {"condition_dropout": 0, **(shown or {})}
    return connected(Digits(document_settings=DocumentSettings(**shown), seen_as=seen_as, **settings))


class Composed(Digits):
    """Its documents have views of their own."""

    def compose(self, *where):
        *before, last = super().compose(*where)
        return [m._replace(modality=VIEW.get(m.modality, m.modality)) for m in before] + [last]


def test_documents_are_those_composed_of_views():
    shown = DocumentSettings(condition_dropout=0, clean_context=0.5, noise_cap=0.3)
    seen, composed = digits(shown=vars(shown)), connected(Composed(document_settings=shown))
    pairs = [*zip(encoded(seen, count=300), encoded(composed, count=300), strict=True)]
    assert all(same(*pair) for pair in pairs)
    assert {one.modality for document, _ in pairs for one in document[:-1]} == {"view", "text", "speech"}
    assert {document[-1].modality for document, _ in pairs} == {"image", "text", "speech"}


def test_a_view_has_neither_loss_nor_noise():
    shown = {"clean_context": 0, "noise_cap": 0.3}
    segments = [one for document in encoded(digits(shown=shown), count=200) for one in document]
    assert {(one.loss, one.noise_cap) for one in segments if one.modality == "view"} == {(False, 1.0)}
    assert {(one.loss, one.noise_cap) for one in segments if one.modality == "image"} == {(True, 1.0)}


def test_condition_dropout_cuts_the_documents_that_it_would_cut_and_leaves_what_is_made():
    cut = {"condition_dropout": 0.5}
    pairs = zip(encoded(digits(shown=cut), count=300), encoded(digits(None, shown=cut), count=300), strict=True)
    assert all(len(one) == len(other) for one, other in pairs)
    whole = encoded(digits(shown={"condition_dropout": 1}, documents={"text+image": 1}), count=100)
    assert [kinds(document) for document in whole] == 100 * [["image"]]


def test_an_image_in_both_roles_is_encoded_by_each_codec():
    data = digits(documents={"image": 1}, two_images=0)
    compose = data.compose
    data.compose = lambda *where: 2 * compose(*where)  # read, then made, with one key
    for document in encoded(data, "val", count=20):
        view, image = document
        torch.testing.assert_close(ALL["view"].decode(view.tokens), ALL["image"].decode(image.tokens))
        assert (view.tokens.shape, image.tokens.shape) == ((4, 16), (16, 4))


def test_a_length_is_that_of_the_views():
    assert len({*assert_lengths_are_those_of_packing(digits(), 200)}) > 5


def test_codecs_of_views_learn_of_the_same_media_by_the_same_settings():
    data = digits()
    assert data.media("view", "train") is data.media("image", "train")
    settings = Digits.codec_settings(seen_as=VIEW)
    assert settings["view"] == settings["image"] != {}
    spec = {"class_path": "datamodules.Digits", "init_args": {}}
    mixed = Mixture.codec_settings(sources={"a": spec}, seen_as=VIEW)
    assert mixed["view"] == mixed["image"] != {}


def test_a_mixture_gives_its_sources_the_roles():
    data = connected(Mixture({"a": Digits(), "b": Digits(documents={"text+image": 1})}, seen_as=VIEW))
    documents = encoded(data, count=300)
    assert {one.modality for document in documents for one in document[:-1]} == {"view", "text", "speech"}
    assert len(data.media("view", "val")) == len(data.media("image", "val")) == data.size("val")


class Pictures(Source):
    def setup(self):
        pass

    def __len__(self):
        return 40

    def record(self, index):
        return {"caption": f"{index}", "picture": ROOT / "docs/pictures/token_walk.png"}


def test_prompts_of_tasks_are_views_and_what_is_observed_is_no_target():
    media = {"text": TextColumn("caption"), "image": ImageColumn("picture", (1, 8, 8))}
    forms = {"text+image": 1.0, "image+text": 1.0}
    records = connected(Records(Pictures(), media, forms, val=0.2, seen_as=VIEW))
    prompts = {task.title: {name for prompt in task.prompts for name, _ in prompt} for task in records.tasks("val")}
    assert prompts == {"text -> image": {"text"}, "image -> text": {"view"}}
    records.grammar = grammar(("image", "view"))
    assert [task.title for task in records.tasks("val")] == ["image -> text"]


class OneText(InterleavedDataModule):
    """A data set of a user, who knows nothing of roles."""

    def media(self, modality, split):
        return {"image": [torch.zeros(1, 8, 8)]}[modality]

    def size(self, split):
        return 1

    def compose(self, split, index, rng):
        return [Medium("image", torch.zeros(1, 8, 8)), Medium("text", "nothing")]


def test_a_data_set_of_a_user_needs_no_change():
    data = connected(OneText(seen_as=VIEW, document_settings=DocumentSettings(condition_dropout=0)))
    assert kinds(encoded(data, count=1)[0]) == ["view", "text"]
    assert len(data.media("view", "train")) == 1


def test_no_gradient_of_an_image_that_is_read_reaches_the_tower_of_images_that_are_made():
    torch.manual_seed(0)
    objectives = {"text": NextToken(), "image": FlowMatching(), "view": Observed()}
    tokens = {name: tokens_of(ALL[name]) for name in objectives}
    model = MixtureOfTransformers(objectives, tokens, "text", BackboneSettings(dim=16, depth=2, heads=2))
    data = digits(documents={"text+image": 1}, two_images=0)
    data.connect({name: ALL[name] for name in objectives}, model.grammar)
    documents = encoded(data, count=60)
    for last, touched in (("text", ["text", "view"]), ("image", ["image", "text"])):
        model.zero_grad()
        losses = model(pack([document for document in documents if kinds(document)[-1] == last], model.grammar, 128))
        sum((one.loss * one.weight).sum() for one in losses.values()).backward()
        parameters = {name: [p for m in model.weights_of(name) for p in m.parameters()] for name in sorted(objectives)}
        assert [name for name, ps in parameters.items() if any(p.grad.any() for p in ps)] == touched


@pytest.mark.parametrize(
    ("seen_as", "message"),
    [
        ({"image": "image"}, "data.seen_as is {image: image}, wanted for each modality another one, used once"),
        ({"image": "view", "view": "text"}, "data.seen_as is {image: view, view: text}, wanted for each"),
        ({"image": "view", "text": "view"}, "data.seen_as is {image: view, text: view}, wanted for each"),
        ({"image": "veiw"}, "data.seen_as names 'veiw', wanted some of text, image, speech, view"),
        ({"smell": "view"}, "data.seen_as names 'smell', wanted some of text, image, speech, view"),
        (
            {"text": "view"},
            "wanted codecs of the same media: that of text takes Text, that of view Image of shape (1, 8, 8)",
        ),
    ],
)
def test_roles_that_no_modality_can_have_are_refused_in_one_line(seen_as, message):
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        digits(seen_as)
    assert "\n" not in str(refused.value)


def test_media_that_are_tokens_already_have_one_role():
    class Encoded(Pictures):
        encoded = True

    media = {"text": TextColumn("caption"), "image": ImageColumn("picture", (1, 8, 8))}
    message = r"data.seen_as is \{image: view\}, wanted none: "
    data = Records(Encoded(), media, {"text+image": 1.0}, seen_as=VIEW)
    for one in (data, Mixture({"a": data, "b": Digits()}, seen_as=VIEW)):
        with pytest.raises(ValueError, match=f"{message}the media are encoded already"):
            one.check_roles(ALL)
    with pytest.raises(ValueError, match=f"{message}each column is encoded by one codec"):
        check_encodable(Records(Pictures(), media, {"text+image": 1.0}, seen_as=VIEW))


def test_what_is_observed_is_not_trained_alone():
    assert digits(shown={"condition_dropout": 0.1}).unconditional == ("image",)
    with pytest.raises(ValueError, match="unconditional_modalities names 'view', wanted some of image, speech, text"):
        digits(shown={"unconditional_modalities": ("view",)})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("--data.seen_as.image=image", "error: data.seen_as is {image: image}, wanted for each modality another one"),
        ("--data.seen_as.speech=sight", "error: data.seen_as names 'sight', wanted some of image, speech, text, view"),
        (
            "--data.seen_as.picture=view",
            "error: data.seen_as is {image: view, picture: view}, wanted for each modality",
        ),
        (
            "--data.seen_as={picture: view}",
            "error: data.seen_as names 'picture', wanted some of image, speech, text, view",
        ),
        ("--data.seen_as=7", "error: data.seen_as is 7, wanted a mapping of modalities"),
    ],
)
def test_a_command_refuses_them_before_it_writes(refusal, setting, message):
    assert refusal("fit", ROLES, setting).startswith(message)


@pytest.fixture(scope="module")
def trained_by_roles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("roles")
    assert run(folder, "fit", ROLES, *TINY, "--report.prompts=1", "--samples.prompts=1") == 0
    return folder / "role_towers/0"


def test_a_config_alone_trains_roles_and_logs_no_loss_of_views(trained_by_roles):
    columns = {name for row in rows(trained_by_roles) for name in row}
    assert {name for name in columns if "view" in name} == {"train/view/grad_norm"}
    assert not any(value == "nan" for row in rows(trained_by_roles) for value in row.values())
    assert "nan" not in (trained_by_roles / "metrics.json").read_text().lower()
    assert list(trained_by_roles.glob("samples/prompts/image_to_text_*_view.png"))


def test_a_pipeline_reads_views_and_makes_none(trained_by_roles):
    pipeline = MoTPipeline.from_pretrained(trained_by_roles)
    documents = pipeline(8 * [("view", torch.zeros(1, 8, 8))], temperature=1.0, max_length=5)
    assert {name for document in documents for name, _ in document} <= {"image", "speech", "text"}
    with pytest.raises(ValueError, match=r"^modalities names 'view' \(it is only observed\), wanted some of image, "):
        pipeline(["a"], modalities=("view",))


def test_its_card_has_losses_given_views_and_none_of_views(trained_by_roles, tmp_path, monkeypatch):
    monkeypatch.setattr(whole, "FIRST", 48)
    monkeypatch.setattr(whole, "PASSES", 1)
    monkeypatch.setattr(reconstructed, "FIRST", 2)
    checkpoint = f"--ckpt_path={trained_by_roles / 'checkpoints/last.ckpt'}"
    assert run(tmp_path, "evaluate", checkpoint, f"--out={tmp_path / 'card'}", "--prompts=0") == 0
    card = json.loads((tmp_path / "card/card.json").read_text())["rows"]
    assert {row["of"] for row in card if row["section"] == "losses"} == {"image", "speech", "text"}
    pairs = {row["of"] for row in card if row["section"] == "conditional"}
    assert pairs == {
        f"{target} | {given}"
        for given, target in product(("view", "speech", "text"), ("image", "speech", "text"))
        if given != target
    }
    assert all(row["value"] == row["value"] for row in card)  # no NaN


def test_a_run_with_roles_resumes_bitwise(trained_by_roles, tmp_path):
    with pytest.raises(RuntimeError, match="planned failure"):
        run(tmp_path, "fit", ROLES, *TINY, "--report.prompts=0", *failing(("on_train_batch_end", 3, "exception")))
    last = tmp_path / "role_towers/0/checkpoints/last.ckpt"
    assert run(tmp_path, "fit", f"--ckpt_path={last}", "--trainer.callbacks=null") == 0
    ours, theirs = weights(tmp_path / "role_towers/1"), weights(trained_by_roles)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
