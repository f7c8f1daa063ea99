"""Samples written at each validation, for each task whose modalities the model has."""

import io
import signal

import numpy as np
import PIL.Image
from full_disk import full_disk
from runs import TINY, failing, run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mot_lightning.callbacks import samples
from mot_lightning.evaluation.run import run_task
from mot_lightning.runs.examples import last_examples

SUFFIXES = {"text": ".txt", "image": ".png", "speech": ".wav"}


def test_each_validation_leaves_files_of_every_modality(trained):
    steps = {"step_000003", "step_000006"}
    assert {path.name for path in (trained / "samples").iterdir()} == {"prompts", *steps}
    for step in (trained / "samples" / name for name in steps):
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
    for number, arguments in enumerate((["--samples.prompts=3"], ["--samples.prompts=3", "--samples.guidance=1"])):
        settings = [*arguments, "--trainer.max_steps=7", "--trainer.val_check_interval=1"]
        assert run(tmp_path, "fit", checkpoint, *settings) == 0
        folder = tmp_path / f"default/{number}/samples/step_000007"
        assert len(list(folder.glob("text_to_speech*.wav"))) == 3
        pictures.append((folder / "text_to_image.png").read_bytes())
        guided = {task.title: task.note.endswith(f"guidance {2 - number}") for task in last_examples(folder.parent)}
        assert guided["text -> image"]
    assert pictures[0] != pictures[1]  # 2 is the default


def test_every_sample_lies_beside_its_prompt_and_a_real_medium_of_its_kind(trained):
    tasks = last_examples(trained / "samples")
    assert [task.title for task in tasks] == [
        "text -> image", "speech -> image", "image -> text", "speech -> text", "text -> speech"]  # fmt: skip
    for task in tasks:
        source, target = task.title.split(" -> ")
        assert (task.step, len(task.examples)) == (6, 3)
        for example in task.examples:
            (prompt,) = example.prompt
            assert prompt.stem.endswith(source)
            assert example.generated.suffix == example.real.suffix == SUFFIXES[target]
            assert all(path.is_file() for path in (prompt, example.generated, example.real))
    named = [example.real.read_text() for example in tasks[2].examples]
    assert all(word in text for word, text in zip(("zero", "one", "two"), named, strict=True))


def test_tensorboard_shows_each_board_and_each_text(trained):
    events = EventAccumulator(str(trained / "tensorboard"), {"images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    assert {"text_to_image", "speech_to_image", "image_to_text"} == set(tags["images"])
    assert {"image_to_text/text_summary", "speech_to_text/text_summary"} <= set(tags["tensors"])
    shown = PIL.Image.open(io.BytesIO(events.Images("text_to_image")[-1].encoded_image_string))
    written = PIL.Image.open(trained / "samples/step_000006/text_to_image.png")
    assert shown.width * 6 == written.width * 4  # narrow enough for the card of TensorBoard's page
    one, another = (np.asarray(picture.convert("L"))[: written.height, : shown.width] for picture in (shown, written))
    assert (one == another).all()
    (text,) = events.Tensors("image_to_text/text_summary")[-1].tensor_proto.string_val
    assert b" (real: " in text


def test_a_page_is_there_from_the_first_validation_on(tmp_path):
    arguments = ["--samples.prompts=1", *failing(("on_train_batch_start", 3, "SIGTERM"))]
    assert run(tmp_path, "fit", *TINY, *arguments) == 143
    page = (tmp_path / "default/0/index.html").read_text()
    assert "text -&gt; image, step 3" in page
    assert "not tested yet" in page
    assert ">val<" in page  # the losses of this validation, too


def test_failed_sample_is_said_in_one_line_and_the_others_are_written(tmp_path, capsys, monkeypatch):
    def run_some(pipeline, task, *args, **kwargs):
        if task.target == "speech":
            raise RuntimeError("out of luck")
        return run_task(pipeline, task, *args, **kwargs)

    run_task = samples.run_task
    monkeypatch.setattr(samples, "run_task", run_some)
    monkeypatch.setattr(samples.Task, "caption", lambda self, i: "$$")  # no mathematics
    arguments = ["--samples.prompts=1", "--trainer.max_steps=2"]
    with full_disk("*/tensorboard/events*", files=2):
        assert run(tmp_path, "fit", *TINY, *arguments) == 0
    folder = tmp_path / "default/0/samples/step_000002"
    full = "failed: No space left on device; the run goes on"
    assert sorted(capsys.readouterr().err.strip().splitlines()) == sorted(
        [
            f"TensorBoardLogger in {tmp_path / 'default/0/tensorboard'} {full}",
            f"TensorBoard with {folder / 'text_to_image'} {full}",
            f"{folder / 'text_to_speech'} failed: RuntimeError: out of luck; the run goes on",
        ]
    )
    assert len(last_examples(folder.parent)) == 4
    assert (folder / "text_to_image.png").is_file()
    assert (tmp_path / "default/0/metrics.json").is_file()


def test_a_signal_while_sampling_ends_it_with_the_task(tmp_path, monkeypatch):
    sampled = []

    def run_and_signal(pipeline, task, *settings, **others):
        sampled.append(task.title)
        signal.raise_signal(signal.SIGTERM)
        return run_task(pipeline, task, *settings, **others)

    monkeypatch.setattr("mot_lightning.callbacks.samples.run_task", run_and_signal)
    assert run(tmp_path, "fit", *TINY, "--samples.prompts=1") == 143
    assert sampled == ["text -> image"]
    assert (tmp_path / "default/0/checkpoints/last.ckpt").is_file()
