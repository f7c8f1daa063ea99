"""A tower leaves as it came, bit for bit, and a tower trained here as a language model of equal logits."""

import pytest
import torch
from language_models import save
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from mot_lightning import BPE, BackboneSettings, Bytes, Modality, NextToken, Patches, PatchUnits, Regression
from mot_lightning.backbone import MoESettings
from mot_lightning.backbone.towers import TowerSettings
from mot_lightning.generation import Context
from mot_lightning.interop import LanguageModel, Pretrained
from mot_lightning.interop.export import export_tower
from mot_lightning.modality import assemble

SMALL = {"dim": 32, "depth": 2, "heads": 4, "ffn_dim": 48}


@pytest.mark.parametrize("name", ["llama", "llama3", "linear", "mistral", "qwen2", "qwen3", "smollm3"])
def test_from_transformers_to_a_tower_and_back_is_bitwise_equal(language_models, tmp_path, name):
    source = LanguageModel(language_models[name])
    modalities = {"text": Modality(source.codec(), source.objective()), "code": Modality(Bytes(), NextToken())}
    settings = BackboneSettings(**source.backbone)
    model = assemble(modalities, "text", settings, {"text": Pretrained(source.name_or_path)})
    family = export_tower(model, "text", modalities["text"].codec, tmp_path)
    assert family == source.config.model_type
    before, after = load_file(language_models[name] / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    back = LanguageModel(tmp_path)
    assert (back.backbone, back.rows, back.tied) == (source.backbone, source.rows, source.tied)
    assert back.ends == source.ends == (0, 0)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("a seven")["input_ids"] == source.codec().encode("a seven").tolist()
    assert tokenizer.bos_token == tokenizer.eos_token == "<|end|>"
    assert back.config.bos_token_id == back.config.eos_token_id == 0
    assert back.codec().tokenizer.to_str() == source.codec().tokenizer.to_str()


def test_a_begin_id_of_its_own_comes_back(tmp_path):
    source = LanguageModel(save(tmp_path / "llama", "llama", bos_token_id=7, eos_token_id=[4, 5]))
    modalities = {"text": Modality(source.codec(), source.objective())}
    model = assemble(modalities, "text", BackboneSettings(**source.backbone), {"text": Pretrained(source.name_or_path)})
    export_tower(model, "text", modalities["text"].codec, tmp_path / "out")
    assert LanguageModel(tmp_path / "out").ends == source.ends == (7, 4)


def test_a_language_model_without_a_begin_id_comes_back_without(tmp_path):
    source = LanguageModel(save(tmp_path / "qwen3", "qwen3", bos_token_id=None))
    modalities = {"text": Modality(source.codec(), source.objective())}
    model = assemble(modalities, "text", BackboneSettings(**source.backbone), {"text": Pretrained(source.name_or_path)})
    export_tower(model, "text", modalities["text"].codec, tmp_path / "out")
    back = LanguageModel(tmp_path / "out")
    assert back.config.bos_token_id is None
    assert back.ends == source.ends == (0, 0)  # to begin a text in the model, its end id serves


def test_positions_of_llama3_are_those_that_its_scaling_says(language_models, tmp_path):
    source = LanguageModel(language_models["llama3"])
    modalities = {"text": Modality(source.codec(), source.objective())}
    export_tower(assemble(modalities, "text", BackboneSettings(**source.backbone)), "text", source.codec(), tmp_path)
    assert LanguageModel(tmp_path).config.max_position_embeddings == 8 * 64


def build(objective=None, codec=None, **backbone):
    image = Modality(Patches((1, 4, 4), 2), Regression())
    torch.manual_seed(0)
    modalities = {"text": Modality(codec or BPE(300), objective or NextToken()), "image": image}
    model = assemble(modalities, "text", BackboneSettings(**{**SMALL, **backbone})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter) * (parameter.dim() == 1))
    return model, modalities["text"].codec


@pytest.mark.parametrize(
    ("settings", "family"),
    [
        ({}, "qwen3"),
        ({"qk_norm": False, "kv_heads": 2, "head_dim": 6, "rope_scaling": 2.0}, "llama"),
        ({"qk_norm": False, "objective": NextToken(tie=True), "norm_eps": 1e-3}, "llama"),
        ({"qk_norm": False, "qkv_bias": True, "objective": NextToken(embedding_scale=3.0)}, "qwen2"),
        ({"qk_norm": False, "nope_layers": [1]}, "smollm3"),
        ({"untie": ["ffn"], "rope_2d": True, "sliding_window": 64}, "qwen3"),
        ({"qk_norm": False, "sliding_window": 64}, "mistral"),
        ({"qk_norm": False, "heads": 3, "head_dim": 12}, "mistral"),  # of which Llama's width is no multiple
    ],
)
@torch.no_grad()
def test_logits_of_a_tower_trained_here_equal_those_of_its_export(tmp_path, settings, family):
    model, codec = build(**settings)
    assert export_tower(model, "text", codec, tmp_path) == family
    exported = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.randint(300, (1, 60), generator=torch.Generator().manual_seed(1))
    text = model.objectives["text"]
    ours = text.head(Context(model.backbone, 1).peek(text.embed_clean(ids)[0], "text", True))[..., :300]
    torch.testing.assert_close(ours, exported(ids).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "modality", "message"),
    [
        (
            {"norm": "res_post"},
            "text",
            r"^model.backbone.norm is 'res_post', wanted pre: transformers has no such norms$",
        ),
        ({"experts": {"text": MoESettings()}, "towers": {"text": ["text"], "image": ["image"]}}, "text", "only dense"),
        (
            {"towers": {"text": TowerSettings(["text"], dim=16), "image": ["image"]}},
            "text",
            r"^the width of the tower of 'text' is 16, wanted model.backbone.dim, 32$",
        ),
        ({}, "image", r"^the objective of 'image' is 'Regression', wanted NextToken$"),
        ({"qkv_bias": True}, "text", r"^the backbone is 'of the parts of qwen3, qwen2', wanted those of one of them$"),
    ],
)
def test_a_tower_that_transformers_does_not_compute_is_refused(tmp_path, settings, modality, message):
    model, codec = build(**settings)
    with pytest.raises(ValueError, match=message):
        export_tower(model, modality, codec, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("objective", "backbone", "message"),
    [
        (NextToken(lookup="codebook"), {}, "codes.objective.lookup is 'codebook', wanted table"),
        (NextToken(), {"rope_2d": True}, "rope_2d is True, wanted false: 'codes' is on a grid"),
    ],
)
def test_a_tower_of_codes_is_refused_where_it_is_not_of_plain_ids(tmp_path, objective, backbone, message):
    codes = Modality(PatchUnits((1, 4, 4), 2, vocab_size=8), objective)
    codes.codec.fit([torch.rand(1, 4, 4) for _ in range(20)])
    model = assemble(
        {"codes": codes, "text": Modality(Bytes(), NextToken())}, "text", BackboneSettings(**SMALL, **backbone)
    )
    with pytest.raises(ValueError, match=message):
        export_tower(model, "codes", codes.codec, tmp_path / "out")
