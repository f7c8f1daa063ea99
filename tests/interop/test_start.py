"""A tower that starts as a language model predicts what the language model does, and what it cannot take is refused."""

import json
from functools import cache

import pytest
import torch
from language_models import save, tokenizer
from properties import hidden_states
from transformers import AutoModelForCausalLM

from mot_lightning import BackboneSettings, Bytes, Modality, NextToken
from mot_lightning.backbone import MoESettings
from mot_lightning.backbone.towers import TowerSettings
from mot_lightning.codecs.language_model_tokenizer import LanguageModelTokenizer
from mot_lightning.generation import Context
from mot_lightning.interop import LanguageModel, Pretrained
from mot_lightning.interop.start import NOISE
from mot_lightning.modality import assemble
from mot_lightning.sequence import Segment, pack

EQUAL = {"rtol": 0, "atol": 1e-5}
POSITIONS = 1000


@cache
def source_of(folder):
    return LanguageModel(folder)


def build(folder, copy_to=(), objective=None, **backbone):
    """A model of texts and code whose text tower is pretrained."""
    source = source_of(folder)
    modalities = {
        "text": Modality(source.codec(), objective or source.objective()),
        "code": Modality(Bytes(), NextToken()),
    }
    settings = BackboneSettings(**{**source.backbone, **backbone})
    torch.manual_seed(1)
    return assemble(modalities, "text", settings, {"text": Pretrained(folder, [*copy_to])}).eval()


@cache
def model_of(folder):
    return build(folder)


@cache
@torch.no_grad()
def theirs(folder, ids):
    return AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([ids])).logits[0]


def random_ids(n=POSITIONS, seed=2):
    return tuple(torch.randint(320, (n,), generator=torch.Generator().manual_seed(seed)).tolist())


NARROW = {"text": TowerSettings(["text"], dim=16), "code": ["code"]}
WIDE = {"text": ["text"], "code": TowerSettings(["code"], ffn_dim=64)}
every_family = pytest.mark.parametrize("name", ["llama", "llama3", "linear", "mistral", "qwen2", "qwen3", "smollm3"])


@every_family
@torch.no_grad()
def test_logits_equal_those_of_transformers_whole_and_cached(language_models, name):
    folder, ids = language_models[name], random_ids()
    model, expected = model_of(folder), theirs(folder, ids)
    text = model.objectives["text"]
    x, _ = text.embed_clean(torch.tensor([ids]))
    whole = text.head(Context(model.backbone, 1).peek(x, "text", True))[0, :, :320]
    context = Context(model.backbone, 1)
    parts = x.split([700, *[1] * 100, 200], dim=1)
    cached = torch.cat([text.head(context.append(part, "text", True))[0, :, :320] for part in parts])
    for logits in (whole, cached):
        torch.testing.assert_close(logits, expected, **EQUAL)
        assert torch.equal(logits.argmax(-1), expected.argmax(-1))


@every_family
@torch.no_grad()
def test_packed_documents_with_control_tokens_equal_transformers_on_their_embeddings(language_models, name):
    folder = language_models[name]
    model, other = model_of(folder), AutoModelForCausalLM.from_pretrained(folder)
    text, grammar = model.objectives["text"], model.grammar
    texts = [torch.tensor(random_ids(n, seed=n)) for n in (30, 70, 45)]
    hidden = hidden_states(model, [[Segment("text", ids)] for ids in texts])
    for ids, states in zip(texts, hidden, strict=True):
        begin, end = grammar.begin_of("text", len(ids)), grammar.end["text"]
        document = torch.cat([torch.tensor([grammar.end_of_document, begin]), ids, torch.tensor([end])])
        expected = other(inputs_embeds=text.embed_clean(document[None])[0]).logits[0]
        torch.testing.assert_close(text.head(states)[:, :320], expected, **EQUAL)


def test_training_starts_from_the_gradients_of_the_language_model(language_models):
    """Gradients of a pretrained tower are those of transformers, so that fine-tuning is the same."""
    folder = language_models["qwen3"]
    model, other = build(folder), AutoModelForCausalLM.from_pretrained(folder)
    text, grammar = model.objectives["text"], model.grammar
    batch = pack([[Segment("text", torch.tensor(random_ids(40)))]], grammar, 64)
    captured = []
    model.backbone.register_forward_hook(lambda module, given, hidden: captured.append(hidden))
    model(batch)
    order = batch.layout.slot.argsort()
    text.head(captured[0][order])[:, :320].square().mean().backward()
    ids = batch.by_modality["text"].tokens[order]
    embeddings = text.embed_clean(ids[None])[0].detach()
    other(inputs_embeds=embeddings).logits.square().mean().backward()
    layer = model.backbone.layers[1].towers[model.backbone.tower_of("text")]
    expected = other.model.layers[1]
    pairs = [
        (layer.output.weight, expected.self_attn.o_proj.weight),
        (layer.ffn.down.weight, expected.mlp.down_proj.weight),
        (layer.attention_norm.gain, expected.input_layernorm.weight),
    ]
    for ours, reference in pairs:
        torch.testing.assert_close(ours.grad, reference.grad, rtol=1e-4, atol=1e-7)
    joined = torch.cat([expected.self_attn.q_norm.weight.grad, expected.self_attn.k_norm.weight.grad])
    torch.testing.assert_close(layer.qk_norm.gain.grad, joined, rtol=1e-4, atol=1e-7)


def test_texts_begin_as_in_the_language_model_and_end_by_its_id(language_models, tmp_path, capsys):
    for name, tied in (("llama", True), ("qwen3", False)):
        folder = save(tmp_path / name, name, bos_token_id=3, eos_token_id=[4, 5])
        model = build(folder)
        text, grammar = model.objectives["text"], model.grammar
        assert (text.embedding.weight is text.head.weight) == tied
        assert "of 5 new embeddings, 2 start as that of the id that begins its texts" in capsys.readouterr().out
        assert grammar.stop("text") == 4
        assert len(text.embedding.weight) == len(text.head.weight) == grammar.end_of_document == 320
        starts = torch.tensor([grammar.end_of_document, grammar.begin["text"]])
        assert torch.equal(text.embed_clean(starts)[0], text.embedding.weight[[3, 3]])
        others = torch.tensor([grammar.end["text"], grammar.begin["code"], grammar.end["code"]])
        for rows, table in ((text.embed_clean(others)[0], text.embedding), (text.control.head.weight, text.head)):
            deviation = (rows - table.weight.mean(0)) / table.weight.std()
            assert 0.5 * NOISE < deviation.std() < 1.5 * NOISE


def test_a_language_model_without_an_end_gets_an_id_that_ends_its_texts(tmp_path):
    model = build(save(tmp_path / "llama", "llama", bos_token_id=None, eos_token_id=None))
    assert model.grammar.stop("text") == 320
    assert len(model.objectives["text"].head.weight) == model.grammar.end_of_document == 321


def weights_of(model, modality):
    return [x for module in model.backbone.weights_of(modality) for x in module.state_dict().values()]


def test_a_copied_tower_has_equal_weights_of_its_own_and_others_start_at_random(language_models):
    folder = language_models["qwen2"]
    copied, alone = build(folder, copy_to=["code"]), build(folder)
    pairs = [*zip(weights_of(copied, "text"), weights_of(copied, "code"), strict=True)]
    assert all(torch.equal(a, b) and a.data_ptr() != b.data_ptr() for a, b in pairs)
    assert not any(torch.equal(a, b) for a, b in zip(weights_of(alone, "text"), weights_of(alone, "code"), strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm_eps": 1e-6}, r"^model.backbone.norm_eps is 1e-06, wanted 0.01, as /.*llama has$"),
        ({"depth": 4}, r"^model.backbone.depth is 4, wanted 3, as "),
        ({"kv_heads": 0}, r"^model.backbone.kv_heads is 4, wanted 2, as "),
        ({"qkv_bias": True}, r"^model.backbone.qkv_bias is True, wanted False, as "),
        ({"objective": NextToken()}, r"^model.modalities.text.objective.tie is False, wanted True, as "),
        (
            {"objective": NextToken(tie=True, embedding_scale=1.0)},
            r"objective.decouple_control is False, wanted true, as its table has no rows for control ids$",
        ),
        ({"towers": NARROW}, r"^dim and ffn_dim of the tower of 'text' is \(16, 64\), wanted \(32, 48\), of the lang"),
        ({"towers": WIDE, "copy_to": ["code"]}, r"^dim and ffn_dim of the tower of 'code' is \(32, 64\), wanted "),
        ({"objective": NextToken(tie=True)}, r"text.objective.embedding_scale is 5.65.*, wanted 1.0, as "),
        (
            {"copy_to": ["speech"]},
            r"^model.pretrained.text.copy_to is 'speech', wanted modalities of other towers: code",
        ),
        ({"copy_to": ["text"]}, r"^model.pretrained.text.copy_to is 'text', wanted modalities of other towers: code"),
        (
            {"towers": {"a": ["text"], "b": ["code"]}, "experts": {"a": MoESettings()}},
            r"^model.backbone.experts of 'text' is 'set', wanted none in a tower that starts pretrained",
        ),
    ],
)
def test_settings_that_contradict_the_language_model_are_refused_naming_both(language_models, settings, message):
    with pytest.raises(ValueError, match=message) as refused:
        build(language_models["llama"], **settings)
    assert "\n" not in str(refused.value)


def test_another_codec_or_modality_is_refused(language_models):
    folder = language_models["llama"]
    source = source_of(folder)
    modalities = {"text": Modality(Bytes(), source.objective())}
    with pytest.raises(ValueError, match=r"text.codec is 'one of 256 ids', wanted the tokenizer of "):
        assemble(modalities, "text", BackboneSettings(**source.backbone), {"text": Pretrained(folder)})
    with pytest.raises(ValueError, match=r"^model.pretrained is 'txt', wanted one of the modalities: text$"):
        assemble(modalities, "text", BackboneSettings(**source.backbone), {"txt": Pretrained(folder)})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stop": 5}, r"text.codec.stop is 5, wanted 0, as "),
        ({"other": 290}, r"text.codec is 'another tokenizer', wanted that of "),
    ],
)
def test_another_tokenizer_of_as_many_ids_is_refused(language_models, tmp_path, settings, message):
    source = source_of(language_models["llama"])
    if "other" in settings:
        tokenizer(settings["other"]).save_pretrained(tmp_path)
        codec = LanguageModelTokenizer(tmp_path, source.rows, source.ends[1])
    else:
        codec = LanguageModelTokenizer(source.name_or_path, source.rows, **settings)
    modalities = {"text": Modality(codec, source.objective())}
    with pytest.raises(ValueError, match=message):
        assemble(modalities, "text", BackboneSettings(**source.backbone), {"text": Pretrained(source.name_or_path)})


@pytest.mark.parametrize("name", ["bos_token_id", "eos_token_id"])
def test_an_end_that_the_table_does_not_have_is_refused(tmp_path, name):
    folder = save(tmp_path / "llama", "llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, name: 320}))
    with pytest.raises(ValueError, match=f"its {name} is 320, wanted an id below vocab_size, 320"):
        LanguageModel(folder)


@pytest.mark.parametrize(
    ("settings", "copy_to"),
    [
        ({"towers": {"both": ["text", "code"]}}, []),
        ({"untie": ["ffn"]}, []),
        ({}, ["code"]),
    ],
    ids=["one tower", "shared attention", "a copy"],
)
def test_two_language_models_for_one_weight_are_refused(language_models, settings, copy_to):
    source = source_of(language_models["qwen3"])
    modalities = {name: Modality(source.codec(), source.objective()) for name in ("text", "code")}
    backbone = BackboneSettings(**source.backbone, **settings)
    both = {name: Pretrained(source.name_or_path, copy_to if name == "text" else []) for name in modalities}
    with pytest.raises(ValueError, match=r"^model.pretrained is 'text, code', wanted one of them: code has weights of"):
        assemble(modalities, "text", backbone, both)


def test_two_language_models_start_two_towers(language_models):
    source = source_of(language_models["qwen3"])
    modalities = {name: Modality(source.codec(), source.objective()) for name in ("text", "code")}
    both = {name: Pretrained(source.name_or_path) for name in modalities}
    model = assemble(modalities, "text", BackboneSettings(**source.backbone), both)
    assert all(map(torch.equal, weights_of(model, "text"), weights_of(model, "code")))


def test_rows_longer_than_the_sliding_window_are_refused(language_models):
    settings = BackboneSettings(**source_of(language_models["mistral"]).backbone)
    settings.check_length("data.row_length", 1024)
    with pytest.raises(ValueError, match=r"^data.row_length is 1025, wanted at most backbone.sliding_window, 1024$"):
        settings.check_length("data.row_length", 1025)
