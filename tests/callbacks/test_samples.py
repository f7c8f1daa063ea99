"""Samples while training: files to look at, at each validation, of each task whose modalities are there."""

from runs import TINY, run


def test_each_validation_leaves_files_of_every_modality(trained):
    assert {path.name for path in (trained / "samples").iterdir()} == {"step_000003", "step_000006"}
    for step in (trained / "samples").iterdir():
        assert {".png", ".wav", ".txt"} <= {path.suffix for path in step.rglob("*")}


def test_tasks_of_a_modality_that_is_left_out_are_left_out(tmp_path):
    arguments = ["--model.modalities.speech=null", "--samples.prompts=1", "--trainer.max_steps=2"]
    assert run(tmp_path, "fit", *TINY, *arguments) == 0
    names = {path.name for path in (tmp_path / "default/0/samples").rglob("*") if path.is_file()}
    assert any(name.startswith("text_to_image") for name in names)
    assert not any("speech" in name for name in names)
