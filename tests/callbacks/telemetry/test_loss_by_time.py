from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import make_document, make_model

from mot_lightning.callbacks.telemetry import LossByTime
from mot_lightning.errors import ConfigError
from mot_lightning.evaluation.times import time_sums
from mot_lightning.sequence import pack


def batch_of(model, cap, documents=40):
    drawn = [make_document(np.random.default_rng(k), ["text", "image"]) for k in range(documents)]
    seeded = [[s._replace(seed=10 * i + k, noise_cap=cap) for k, s in enumerate(d)] for i, d in enumerate(drawn)]
    return pack(seeded, model.grammar, 400)


def measure(model, batch, step=0):
    return LossByTime().measure(SimpleNamespace(model=model, seed=0, global_step=step), batch)


def test_losses_are_those_of_the_times_that_are_sampled():
    model = make_model("diffusion")
    logged = measure(model, batch_of(model, cap=0.25))
    assert {*logged} == {f"image/loss_at_t{t}" for t in (0.0, 0.1, 0.2)}
    with torch.no_grad():
        total = time_sums(model, [batch_of(model, cap=0.25)], [0])["image"].sum(0)
    assert logged["image/loss_at_t0.1"] == pytest.approx(total[1, 0] / total[1, 1])


def test_another_step_samples_other_times():
    model = make_model("diffusion")
    batch = batch_of(model, cap=1.0)
    assert measure(model, batch) == measure(model, batch)
    assert measure(model, batch, step=1) != measure(model, batch)


def test_model_without_times_is_refused():
    with pytest.raises(ConfigError, match="wanted a modality with a diffusion or flow objective"):
        LossByTime().setup(None, SimpleNamespace(model=make_model(order=("text", "speech"))), "fit")
