"""`ledger`: what a model costs, the same as the report of a run says."""

import json
import re
import shlex

import pytest
from runs import TINY, run

from mot_lightning.analysis.ledger.table import short


@pytest.mark.parametrize("given", ["settings", "a checkpoint"])
def test_it_counts_as_the_report_of_a_run_does_and_leaves_nothing(trained, tmp_path, capsys, given):
    arguments = TINY if given == "settings" else [f"--ckpt_path={trained / 'checkpoints/last.ckpt'}", "--peak=1"]
    assert run(tmp_path, "ledger", *arguments) == 0
    output = capsys.readouterr().out
    metrics = json.loads((trained / "metrics.json").read_text())
    for name in ("text", "image", "speech"):
        (parameters,) = re.findall(rf"^{name} +([\d,]+)", output, re.MULTILINE)
        assert int(parameters.replace(",", "")) == metrics[f"model/{name}/active_parameters"]
    assert f"parameters in all: {metrics['model/parameters']:,}" in output
    assert not list(tmp_path.iterdir())
    if given == "a checkpoint":  # whose steps took some time
        milliseconds = 1000 * metrics["fit/training_seconds"] / metrics["fit/steps"]
        assert float(re.findall(r"as it was: (\S+) ms, MFU \S+ %", output)[0]) == pytest.approx(milliseconds, rel=0.02)
    else:
        assert "MFU" not in output


def test_step_is_that_of_all_ranks_and_accumulated_batches_in_the_precision_of_the_run(tmp_path, capsys):
    def figures(*arguments):
        assert run(tmp_path, "ledger", *TINY, *arguments) == 0
        output = capsys.readouterr().out
        tokens = re.findall(r"^text +[\d,]+ +([\d,]+)", output, re.MULTILINE)[0]
        weights = re.findall(r"^weights +([\d.]+)", output, re.MULTILINE)[0]
        return float(tokens.replace(",", "")), float(weights)

    tokens, weights = figures()
    accumulated, double = figures("--trainer.accumulate_grad_batches=3", "--trainer.precision=64-true")
    assert accumulated == pytest.approx(3 * tokens, abs=2)
    assert double == pytest.approx(2 * weights, abs=0.2)


def test_a_codec_has_none(refusal):
    assert "a codec has no ledger" in refusal("ledger", "--config=conf/codec/vq.yaml")


def test_bad_options_are_one_line(refusal):
    assert refusal("ledger", "--peak=0") == "error: --peak is 0, wanted a number above 0"
    assert "--seconds_per_step needs --peak" in refusal("ledger", "--seconds_per_step=1")
    assert "--match is 'dims', wanted one of parameters, active_parameters, flops" in refusal("ledger", "--match=dims")


def test_matched_settings_make_a_dense_model_of_as_many_parameters(tmp_path, capsys):
    assert run(tmp_path, "ledger", *TINY, "--match=parameters") == 0
    head, *lines = capsys.readouterr().out.partition("dense with the same ")[2].splitlines()
    settings = shlex.split(" ".join(lines))
    assert run(tmp_path, "ledger", *TINY, *settings) == 0
    output = capsys.readouterr().out
    (reached,) = re.findall(r"parameters in all: (\S+)", output)
    assert head.startswith(f"parameters: {short(int(reached.replace(',', '')))} of ")
    assert "tower" not in output


def test_it_prints_the_config_as_fit_does(printed_config):
    assert printed_config(*TINY, command="ledger") == printed_config(*TINY)
