"""What the LightningModule promises: absent modalities stay as they are, schedules do what they say."""

import itertools

import pytest
import torch
from test_resume import TINY, run, weights

from mot_lightning.optimization import Optimization


def test_an_absent_modality_moves_nothing_of_its_own(tmp_path):
    """No decay and no momentum: its tower after six steps is what it was after none."""
    none = "{text+image+speech: 0, text+image: 0, image+speech: 0, image: 0}"
    before, after = tmp_path / "before", tmp_path / "after"
    absent = [
        f"--data.documents={none}",
        "--data.condition_dropout=0",
    ]
    assert run(before, "fit", *TINY, *absent, "--trainer.max_steps=1") == 0
    assert run(after, "fit", *TINY, *absent) == 0
    one, six = (weights(folder / "default/0") for folder in (before, after))
    # towers are in the order of their modalities' names: image, speech, text
    own = [n for n in one if n.startswith("model.") and (".layers.0.towers.0." in n or "objectives.image" in n)]
    others = [n for n in one if n.startswith("model.backbone.layers.0.towers.2.") and n.endswith("weight")]
    assert own
    assert all(torch.equal(one[name], six[name]) for name in own)
    assert others
    assert not any(torch.equal(one[name], six[name]) for name in others)


def test_the_learning_rate_warms_up_and_falls_to_its_last_share():
    settings = Optimization(warmup=10, final=0.1)
    shares = [settings.share(step, 100) for step in range(101)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == pytest.approx(1.0)
    assert shares[100] == pytest.approx(0.1)
    assert all(a <= b for a, b in itertools.pairwise(shares[:11]))
    assert all(a >= b for a, b in itertools.pairwise(shares[10:]))


def test_weights_that_are_not_trained_have_no_moments():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 2))
    model[0].requires_grad_(False)
    optimizer, _ = Optimization().build(model, 10, fused=False)
    assert set(optimizer.state) == set(model[1].parameters())


def test_a_modality_left_out_leaves_the_rest_to_train_and_be_measured(tmp_path, capsys):
    assert run(tmp_path, "fit", *TINY, "--model.modalities.speech=null", "--report.prompts=2") == 0
    said = capsys.readouterr().out
    assert "text -> image" in said
    assert "speech" not in said


def test_accumulated_batches_count_as_one_step(tmp_path):
    from test_resume import rows

    assert run(tmp_path, "fit", *TINY, "--trainer.accumulate_grad_batches=2") == 0
    assert {row["step"] for row in rows(tmp_path / "default/0")} >= {"1", "2", "6"}
