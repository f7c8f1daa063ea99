"""How metrics load networks of others."""

import os
import pickle
import socket

import pytest
import torch

from mot_lightning.evaluation.metrics.pretrained import ONLY_WEIGHTS, load, loading


def test_no_library_unpickles_and_random_states_stay(tmp_path):
    torch.save({"weights": torch.ones(2), "code": os.system}, tmp_path / "weights.pth")
    state, timeout = torch.get_rng_state(), socket.getdefaulttimeout()
    with loading():
        torch.rand(3)
        with pytest.raises(pickle.UnpicklingError):
            torch.load(tmp_path / "weights.pth", weights_only=False)  # as torch-fidelity does
        assert socket.getdefaulttimeout() == 5
    assert torch.equal(torch.get_rng_state(), state)
    assert socket.getdefaulttimeout() == timeout
    assert ONLY_WEIGHTS not in os.environ
    assert torch.load(tmp_path / "weights.pth", weights_only=False)["code"] is os.system


def test_the_hub_is_asked_once_and_not_waited_for(monkeypatch):
    """A name whose files are not here, without a connection: libraries would ask six times, with pauses."""
    calls = []

    class Client:
        def head(self, address, timeout):
            calls.append((address.startswith("http"), timeout))
            raise ConnectionError("no such host")

    monkeypatch.setattr("huggingface_hub.utils.get_session", Client)
    message = (
        "CLIPScore: name_or_path is 'nobody/clip', wanted a CLIP: there is no such folder here, and on the hub: no such"
    )
    with pytest.raises(ValueError, match=message):
        load("CLIPScore", "nobody/clip", lambda *name, **how: calls.append(name), "a CLIP")
    assert calls == [(True, 5)]
