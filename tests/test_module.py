"""What the LightningModule promises: absent modalities stay as they are, and accumulated batches are one step."""

import torch
from runs import TINY, rows, run, weights


def test_an_absent_modality_moves_nothing_of_its_own(tmp_path):
    """No decay and no momentum: its tower after six steps is what it was after none."""
    before, after = tmp_path / "before", tmp_path / "after"
    absent = [
        "--data.documents={text+speech: 0.5, text: 0.3, speech: 0.2}",
        "--data.document_settings.condition_dropout=0",
    ]
    assert run(before, "fit", *TINY, *absent, "--trainer.max_steps=1") == 0
    assert run(after, "fit", *TINY, *absent) == 0
    one, six = (weights(folder / "default/0") for folder in (before, after))
    # towers are in the order of their modalities' names: image, speech, text
    of_images = [n for n in one if n.startswith("model.") and (".layers.0.towers.0." in n or "objectives.image" in n)]
    others = [n for n in one if n.startswith("model.backbone.layers.0.towers.2.") and n.endswith("weight")]
    assert of_images
    assert all(torch.equal(one[name], six[name]) for name in of_images)
    assert others
    assert not any(torch.equal(one[name], six[name]) for name in others)


def test_a_modality_left_out_leaves_the_rest_to_train_and_be_measured(tmp_path, capsys):
    assert run(tmp_path, "fit", *TINY, "--model.modalities.speech=null", "--report.prompts=2") == 0
    said = capsys.readouterr().out
    assert "text -> image" in said
    assert "speech" not in said


def test_accumulated_batches_count_as_one_step(tmp_path):
    assert run(tmp_path, "fit", *TINY, "--trainer.accumulate_grad_batches=2") == 0
    assert {row["step"] for row in rows(tmp_path / "default/0")} >= {"1", "2", "6"}
