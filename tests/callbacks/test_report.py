"""The report of a test: metrics.json and the table."""

import html
import json

from browser import measure, needs_browser
from runs import run

from mot_lightning.callbacks.report import why_no_metrics
from mot_lightning.evaluation.metrics import JudgedAccuracy
from mot_lightning.evaluation.tasks import Task


def test_metrics_json_holds_losses_tasks_costs_and_training_stats(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert {
        "test/image/judge_accuracy", "test/image/judge_accuracy_guided", "test/image/judge_accuracy_real",
        "test/image/speech_to_image_accuracy", "test/image/fid[digits]", "test/image/fid[digits]_guided",
        "test/text/image_to_text_accuracy", "test/text/speech_to_text_accuracy", "test/text/bits_per_byte",
        "test/text/loss", "test/speech/text_to_speech_accuracy", "test/speech/text_to_speech_accuracy_real",
        "test/image/guidance", "test/image/steps", "test/image/judge_accuracy_samples", "fit/seconds",
        "fit/training_seconds", "fit/text/tokens", "fit/peak_rss_mb", "fit/steps", "model/parameters",
        "model/image/active_parameters", "model/speech/forward_flops_per_token",
    } <= set(metrics)  # fmt: skip
    assert all(isinstance(value, int | float) for value in metrics.values())
    # accuracy over the 320 sounds of the test split, not the 200 of the validation split
    assert (320 * metrics["test/speech/text_to_speech_accuracy_real"]).is_integer()
    assert not (200 * metrics["test/speech/text_to_speech_accuracy_real"]).is_integer()


def test_unguided_test_reports_no_guided_metrics(tmp_path, capsys, trained):
    arguments = ["--report.guidance=1", "--report.prompts=1"]
    assert run(tmp_path, "test", f"--ckpt_path={trained / 'checkpoints/last.ckpt'}", *arguments) == 0
    folder = tmp_path / "default/0"
    printed = capsys.readouterr().out
    assert [line.split() for line in printed.splitlines()[-3:]] == [
        ["page:", str(folder / "index.html")],
        ["figures:", str(folder / "metrics.json")],
        ["losses:", str(folder / "metrics.csv")],
    ]
    assert "training:" not in printed  # it was another run's
    assert "fit/seconds" in json.loads((folder / "metrics.json").read_text())
    assert not [name for name in json.loads((folder / "metrics.json").read_text()) if "guid" in name]


def metrics_of(folder, trained, *arguments):
    """The metrics.json of a `test` command on the tiny run."""
    checkpoint = f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"
    number = len(list((folder / "default").iterdir())) if (folder / "default").exists() else 0
    assert run(folder, "test", checkpoint, *arguments) == 0
    return json.loads((folder / "default" / str(number) / "metrics.json").read_text())


def test_report_settings_control_its_samples(tmp_path, trained):
    first = metrics_of(tmp_path, trained, "--report.prompts=4")
    assert first["test/image/judge_accuracy_samples"] == 4
    assert first["test/image/guidance"] == 2  # by default
    again = metrics_of(tmp_path, trained, "--report.prompts=4")
    assert {name for name in first if first[name] != again[name]} <= {
        "fit/seconds",
        "fit/training_seconds",
        "fit/peak_rss_mb",
    }
    # the FID differs between samples even if their accuracy is equal
    other = metrics_of(tmp_path, trained, "--report.prompts=4", "--report.seed=1", "--report.guidance=3")
    assert other["test/image/guidance"] == 3
    assert other["test/image/fid[digits]"] != first["test/image/fid[digits]"]
    guided = metrics_of(tmp_path, trained, "--report.prompts=4", "--report.guidance=3")
    assert guided["test/image/fid[digits]"] == first["test/image/fid[digits]"]
    assert guided["test/image/fid[digits]_guided"] != first["test/image/fid[digits]_guided"]


def test_metrics_of_a_config_stand_beside_those_of_tasks(tmp_path, capsys, trained):
    chosen = [
        "--report.metrics.image.psnr=torchmetrics.image.psnr.PeakSignalNoiseRatio",
        "--report.metrics.image.psnr.data_range=1.0",
        "--report.metrics.text.wer=torchmetrics.text.WordErrorRate",
        "--report.metrics.speech.wer.class_path=WordErrorRate",
        "--report.metrics.speech.wer.name_or_path=./nowhere",
    ]
    metrics = metrics_of(tmp_path, trained, "--report.prompts=4", *chosen)
    for name in ("text_to_image/psnr", "speech_to_image/psnr", "text_to_image/psnr_guided", "judge_accuracy"):
        assert metrics[f"test/image/{name}"] > 0 or name == "judge_accuracy"
    assert metrics["test/text/image_to_text/wer_samples"] == 4
    printed = capsys.readouterr().out
    assert "speech_to_image/psnr" in printed
    assert "test/speech/wer is unavailable: recogniser: name_or_path is " in printed


def test_test_loss_is_reproducible_across_runs(tmp_path, trained):
    one, two = (metrics_of(tmp_path, trained, "--report.prompts=0") for _ in range(2))
    assert one["test/image/loss"] == two["test/image/loss"]


def test_the_page_shows_the_printed_table(tmp_path, capsys, trained):
    assert run(tmp_path, "test", f"--ckpt_path={trained / 'checkpoints/last.ckpt'}", "--report.prompts=2") == 0
    printed = capsys.readouterr().out
    page = (tmp_path / "default/0/index.html").read_text()
    rows = [row for rows in json.loads((tmp_path / "default/0/tables.json").read_text()) for row in rows]
    assert len(rows) == 4 + 7
    for row in rows:
        assert any(all(cell in line for cell in row) for line in printed.splitlines())
        assert all(f">{html.escape(cell)}</t" in page for cell in row)


@needs_browser
def test_a_browser_shows_every_image_of_a_run(trained):
    measured = measure(trained / "index.html", 500)
    assert len(measured["images"]) == 3 * (2 + 2 + 1)  # generated and real, twice; and the prompts of image -> text
    assert min(measured["images"]) == 128
    assert not measured["loaded"]
    assert measured["needed"] <= measured["width"]


def test_a_report_without_metrics_says_why():
    tasks = [Task("text -> image", [[("text", "a")]], "image", [0], {"accuracy": JudgedAccuracy(list)})]
    assert why_no_metrics(tasks, ["image", "text"], None) == ""
    assert why_no_metrics([], ["image", "text"], 0) == "report.prompts is 0"
    assert why_no_metrics([], ["image", "text"], None) == "the data have no tasks of the test split"
    reason = "the model has speech, text, but text -> image needs image, text, each with metrics"
    assert why_no_metrics(tasks, ["speech", "text"], None) == reason
