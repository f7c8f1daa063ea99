"""`ledger`: what a token costs, the same as the report of a run says."""

import json
import re

import pytest
from runs import TINY, run


@pytest.mark.parametrize("given", ["settings", "a checkpoint"])
def test_it_counts_as_the_report_of_a_run_does_and_leaves_nothing(trained, tmp_path, capsys, given):
    arguments = TINY if given == "settings" else [f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"]
    assert run(tmp_path, "ledger", *arguments) == 0
    output = capsys.readouterr().out
    metrics = json.loads((trained / "metrics.json").read_text())
    for name in ("text", "image", "speech"):
        (parameters,) = re.findall(rf"^{name} +([\d,]+)", output, re.MULTILINE)
        assert int(parameters.replace(",", "")) == metrics[f"model/{name}/active_parameters"]
    assert f"parameters in all: {metrics['model/parameters']:,}" in output
    assert not list(tmp_path.iterdir())


def test_a_codec_has_none(refusal):
    assert "a codec has no ledger" in refusal("ledger", "--config=conf/codec/vq.yaml")


def test_it_prints_the_config_as_fit_does(printed_config):
    assert printed_config(*TINY, command="ledger") == printed_config(*TINY)
