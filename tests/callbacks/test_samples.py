"""Samples written at each validation, for each task whose modalities the model has."""

from runs import TINY, run


def test_each_validation_writes_samples_of_every_modality(trained):
    assert {path.name for path in (trained / "samples").iterdir()} == {"step_000003", "step_000006"}
    for step in (trained / "samples").iterdir():
        assert {".png", ".wav", ".txt"} <= {path.suffix for path in step.rglob("*")}


def test_tasks_of_an_absent_modality_write_no_samples(tmp_path):
    arguments = ["--model.modalities.speech=null", "--samples.prompts=1", "--trainer.max_steps=2"]
    assert run(tmp_path, "fit", *TINY, *arguments) == 0
    names = {path.name for path in (tmp_path / "default/0/samples").rglob("*") if path.is_file()}
    assert any(name.startswith("text_to_image") for name in names)
    assert not any("speech" in name for name in names)


def test_samples_follow_the_prompts_and_guidance_settings(tmp_path, trained):
    checkpoint = f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"
    pictures = []
    for number, arguments in enumerate((["--samples.prompts=2"], ["--samples.prompts=2", "--samples.guidance=1"])):
        settings = [*arguments, "--trainer.max_steps=7", "--trainer.val_check_interval=1"]
        assert run(tmp_path, "fit", checkpoint, *settings) == 0
        folder = tmp_path / f"default/{number}/samples/step_000007"
        assert len(list(folder.glob("text_to_speech*.wav"))) == 2
        pictures.append((folder / "text_to_image.png").read_bytes())
    assert pictures[0] != pictures[1]  # the default guidance is 2
