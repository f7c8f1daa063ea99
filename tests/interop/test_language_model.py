"""A language model is read from safetensors alone; what is none, or is not served, is refused in one line."""

import json
import shutil

import pytest
import torch
from language_models import save, tokenizer
from safetensors.torch import load_file
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from weight_files import lose_a_weight

from mot_lightning.codecs.cache import CACHE
from mot_lightning.codecs.fitting import fit_once
from mot_lightning.codecs.language_model_tokenizer import LanguageModelTokenizer
from mot_lightning.interop import LanguageModel, Pretrained


@pytest.fixture
def folder(language_models, tmp_path):
    return shutil.copytree(language_models["llama"], tmp_path / "model")


def alter(folder, **settings):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def test_weights_are_those_of_the_file_in_float32_and_a_tied_table_is_there_once(folder):
    source, saved = LanguageModel(folder), load_file(folder / "model.safetensors")
    assert source.weights.keys() == saved.keys()
    assert all(torch.equal(source.weights[name], saved[name]) for name in saved)
    assert {x.dtype for x in source.weights.values()} == {torch.float32}
    assert "lm_head.weight" not in source.weights


def test_reading_leaves_the_global_generator_as_it_was(folder):
    state = torch.get_rng_state()
    assert LanguageModel(folder).weights
    assert torch.equal(torch.get_rng_state(), state)


def remove_config(folder):
    (folder / "config.json").unlink()


def pickle_weights(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def lose_weights(folder):
    (folder / "model.safetensors").unlink()


def lose_a_shard(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))


def setting(**settings):
    return lambda folder: alter(folder, **settings)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove_config, "it has no config.json that names a model_type"),
        (setting(model_type="gpt2"), "its model_type is 'gpt2', wanted one of llama, mistral, qwen2, qwen3, smollm3"),
        (setting(model_type="mine", auto_map={"AutoConfig": "mine.Mine"}), "its config.json names code of its own"),
        (setting(hidden_act="gelu"), "its hidden_act is 'gelu', wanted silu"),
        (setting(attention_bias=True), "its attention_bias is True, wanted false: W_O has no bias here"),
        (setting(mlp_bias=True), "its mlp_bias is True, wanted false: the feed-forward network has no bias here"),
        (
            setting(rope_parameters={"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4}),
            "its rope_type is 'yarn', wanted default, linear or llama3",
        ),
        (pickle_weights, "it has pytorch_model.bin, which is pickled and could run code, wanted model.safetensors"),
        (lose_weights, "it has no weights, wanted model.safetensors"),
        (lose_a_shard, "it lacks model-00002-of-00002.safetensors, which model.safetensors.index.json names"),
        (lose_a_weight, "it has no weight "),
        (
            lambda folder: save(folder, "llama", vocab_size=250),
            "vocab_size is 250, wanted as many rows as its tokenizer",
        ),
        (lambda folder: save(folder, "llama", vocab_size=1324), "vocab_size is 1324, wanted as many rows as its tok"),
    ],
)
def test_what_is_no_served_language_model_is_refused_in_one_line(folder, spoil, message):
    spoil(folder)

    def read():
        source = LanguageModel(folder)
        return source.codec(), source.weights

    with pytest.raises(ValueError) as refused:  # noqa: PT011 (the message is compared below)
        read()
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_tokenizer_without_ids_for_letters_is_refused(tmp_path):
    tokenizer = Tokenizer(models.BPE({"<|end|>": 0}, []))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="wanted a tokenizer that has ids for 'abc'"):
        LanguageModelTokenizer(tmp_path, 1).encode("abc")


def test_a_checkpoint_has_its_tokenizer_where_the_folder_s_has_changed(folder):
    codec = LanguageModel(folder).codec()
    state, ids = codec.state_dict(), codec.encode("a seven")
    longer = tokenizer()
    longer.add_tokens([f"<{i}>" for i in range(40)])  # more ids than the table
    longer.save_pretrained(folder)
    arguments = folder, codec.vocab_size, codec.stop, codec.begin
    with pytest.raises(ValueError, match="vocab_size is 320, wanted as many rows as its tokenizer has ids"):
        LanguageModelTokenizer(*arguments).encode("a seven")
    again = LanguageModelTokenizer(*arguments)
    again.load_state_dict(state)
    assert torch.equal(again.encode("a seven"), ids)


def test_two_tokenizers_of_as_many_rows_are_two_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    for size in (280, 290):
        tokenizer(size).save_pretrained(tmp_path / "model")
        codec = LanguageModelTokenizer(tmp_path / "model", 320, 0)
        fit_once(codec, ["a seven"])
        assert codec.tokenizer.get_vocab_size() == size


def test_layers_without_rotation_are_those_that_there_are(tmp_path):
    of_six = [1, 0, 1, 1, 0, 1]
    source = LanguageModel(save(tmp_path / "smollm3", "smollm3", no_rope_layers=of_six))
    assert source.backbone["nope_layers"] == [1]


def test_a_folder_is_known_from_anywhere(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert Pretrained("model").name_or_path == str(folder)
    assert Pretrained("somebody/small").name_or_path == "somebody/small"
