"""The report: metrics.json and the table, of what was tested and nothing else."""

import json

from runs import run


def test_metrics_json_holds_losses_tasks_costs_and_the_training(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert {
        "test/image/judge_accuracy", "test/image/judge_accuracy_guided", "test/image/judge_accuracy_real",
        "test/image/speech_to_image_accuracy", "test/image/fid[digits]", "test/image/fid[digits]_guided",
        "test/text/image_to_text_accuracy", "test/text/speech_to_text_accuracy", "test/text/bits_per_byte",
        "test/text/loss", "test/speech/text_to_speech_accuracy", "test/speech/text_to_speech_accuracy_real",
        "test/image/guidance", "test/image/steps", "test/image/judge_accuracy_samples", "fit/seconds",
        "fit/peak_rss_mb", "fit/steps", "model/parameters", "model/image/active_parameters",
        "model/speech/forward_flops_per_token",
    } <= set(metrics)  # fmt: skip
    assert all(isinstance(value, int | float) for value in metrics.values())


def test_a_test_says_only_what_it_did(tmp_path, capsys, trained):
    arguments = ["--report.guidance=1", "--report.prompts=1"]
    assert run(tmp_path, "test", f"--ckpt_path={trained / 'checkpoints/last.ckpt'}", *arguments) == 0
    folder = tmp_path / "default/0"
    assert capsys.readouterr().out.splitlines()[-1] == f"figures: {folder / 'metrics.json'}"
    assert not [name for name in json.loads((folder / "metrics.json").read_text()) if "guid" in name]
