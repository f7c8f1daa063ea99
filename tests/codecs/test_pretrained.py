"""Pretrained networks: not part of the model's parameters, and identified by a content hash."""

import json

import pytest
import torch
from torch import nn

from mot_lightning.codecs import VAE, HFTokenizer, HubertUnits, NeuralCodec
from mot_lightning.codecs.pretrained import FrozenNetwork, content_hash, load_pretrained


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.ones(2), "b": {"c": 4}},
        {"a": torch.ones(2), "b": {"d": 3}},
        {"a": torch.ones(2, 1), "b": {"c": 3}},
        {"a": torch.ones(2).double(), "b": {"c": 3}},
        {"a": torch.tensor([1.0, 1.0001]), "b": {"c": 3}},
        {"a": torch.ones(2), "b": {"c": 3}, "e": torch.empty(0)},
    ],
    ids=["value", "name", "shape", "type", "number", "one more"],
)
def test_content_hash_depends_on_names_shapes_dtypes_and_values(other):
    content = {"a": torch.ones(2), "b": {"c": 3}}
    assert content_hash(content) != content_hash(other)
    assert content_hash(content) == content_hash(
        {"b": {"c": 3}, "a": torch.ones(1).expand(2)}
    )  # independent of order and strides


def test_frozen_network_is_not_registered_in_its_holder():
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frozen = FrozenNetwork(nn.Linear(2, 3).train())

    holder = Holder()
    assert not [*holder.parameters()]
    assert not holder.state_dict()
    assert not holder.frozen.network.training
    assert not any(weight.requires_grad for weight in holder.frozen.network.parameters())
    assert holder.frozen.hash == content_hash(holder.frozen.network.state_dict())


def test_load_failure_raises_a_one_line_error_and_keeps_the_rng_state():
    def fail():
        raise KeyError("two\nlines")

    before = torch.get_rng_state()
    assert load_pretrained(lambda: torch.randn(7), "VAE", "here", "a folder").shape == (7,)
    assert torch.equal(torch.get_rng_state(), before)  # initialising weights that get replaced does not advance the RNG
    with pytest.raises(ValueError, match=r"^VAE: name_or_path is 'here', wanted a folder: ") as refused:
        load_pretrained(fail, "VAE", "here", "a folder")
    assert "\n" not in str(refused.value)


def test_the_hub_is_asked_once_for_what_is_not_here_and_not_waited_for(monkeypatch, tmp_path):
    """Without a connection; libraries would ask six times, with pauses."""
    calls = []

    class Client:
        def head(self, address, timeout):
            calls.append(timeout)
            raise ConnectionError("no such host")

    monkeypatch.setattr("huggingface_hub.utils.get_session", Client)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    message = r"'nobody/vae', wanted a VAE: there is no such folder here, and on the hub: no such host$"
    with pytest.raises(ValueError, match=message):
        load_pretrained(lambda: calls.append("asked"), "VAE", "nobody/vae", "a VAE")
    assert calls == [5]
    (tmp_path / "models--nobody--vae/snapshots").mkdir(parents=True)  # in the cache
    (tmp_path / "here").mkdir()
    for name in ("nobody/vae", "A_BUNDLE_OF_TORCHAUDIO", str(tmp_path / "here")):
        assert load_pretrained(lambda: "loaded", "VAE", name, "a VAE") == "loaded"


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("kind", [VAE, HFTokenizer, HubertUnits, NeuralCodec])
def test_folder_with_code_of_its_own_is_refused_and_its_code_not_run(tmp_path, capfd, kind, file):
    settings = {"_class_name": "AutoencoderKL", "model_type": "hubert", "tokenizer_class": "Tokenizer"}
    names = ("AutoConfig", "AutoModel", "AutoTokenizer")
    settings["auto_map"] = dict.fromkeys(names, "code.Tokenizer")
    (tmp_path / file).write_text(json.dumps(settings))
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    shape = {"shape": (1, 8, 8)} if kind is VAE else {}
    with pytest.raises(
        ValueError, match=rf"its {file} names code of its own \(auto_map\), which is not run$"
    ) as refused:
        kind(name_or_path=tmp_path, **shape)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().err == ""
    assert not (tmp_path / "executed").exists()
