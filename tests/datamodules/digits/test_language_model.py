"""The tiny language model of captions: what it learns, that a seed determines it, and where it may be written."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from datamodules.digits.captions import named_digit
from datamodules.digits.language_model import captions, main, train
from mot_lightning.errors import ConfigError
from mot_lightning.interop import LanguageModel


def test_captions_name_all_digits_with_and_without_media():
    stream = captions(0)
    texts = [next(stream) for _ in range(500)]
    assert {named_digit(text) for text in texts} == {*range(10)}
    assert {"a handwritten seven", "hear seven", "it is seven"} <= {*texts}


def test_it_learns_captions_and_loads_as_a_language_model(tmp_path):
    folder = tmp_path / "lm"
    loss = train(folder, steps=12)
    assert loss < 4  # of 5.9 nats for 384 ids
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer("<|end|>a handwritten seven<|end|>", return_tensors="pt")["input_ids"]
    assert tokenizer.decode(ids[0]) == "<|end|>a handwritten seven<|end|>"
    assert ids.shape[1] <= 6  # words are tokens
    with torch.no_grad():
        assert model(ids, labels=ids).loss < 4
    source = LanguageModel(folder)
    assert source.ends == (0, 0)
    assert (source.backbone["dim"], source.backbone["depth"]) == (128, 4)


def test_a_seed_determines_it(tmp_path):
    losses = [train(tmp_path / str(i), steps=2, batch_size=8, seed=seed) for i, seed in enumerate((3, 3, 4))]
    weights = [load_file(tmp_path / f"{i}/model.safetensors")["lm_head.weight"] for i in range(3)]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_bad_input_is_refused_in_one_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    for folder, words in ((tmp_path, "exists, wanted a new or empty folder"), (tmp_path / "file/lm", "is a file")):
        monkeypatch.setattr("sys.argv", ["language_model", "--out", str(folder)])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2
        message = capsys.readouterr().err
        assert message.startswith("error: --out ")
        assert str(folder) in message
        assert words in message
        assert message.count("\n") == 1
    with pytest.raises(ConfigError, match=r"^--seed is -1, wanted 0 or more$"):
        train(tmp_path / "lm", seed=-1)
    with pytest.raises(ConfigError, match=r"^--steps is 0, wanted at least 1$"):
        train(tmp_path / "lm", steps=0)
