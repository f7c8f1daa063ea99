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


def test_so_many_prompts_of_each_task_are_shown_with_guidance_as_set(tmp_path, trained):
    checkpoint = f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"
    pictures = []
    for number, arguments in enumerate((["--samples.prompts=2"], ["--samples.prompts=2", "--samples.guidance=1"])):
        settings = [*arguments, "--trainer.max_steps=7", "--trainer.val_check_interval=1"]
        assert run(tmp_path, "fit", checkpoint, *settings) == 0
        folder = tmp_path / f"default/{number}/samples/step_000007"
        assert len(list(folder.glob("text_to_speech*.wav"))) == 2
        pictures.append((folder / "text_to_image.png").read_bytes())
    assert pictures[0] != pictures[1]  # 2 is the default
