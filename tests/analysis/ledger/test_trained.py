"""The ledger that a run leaves."""

import json

import pytest
from runs import TINY, run


def strict(path):
    def refuse(constant):
        raise AssertionError(f"{path} has {constant}, which is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_run_leaves_what_its_steps_cost(trained):
    figures, metrics = strict(trained / "ledger.json"), strict(trained / "metrics.json")
    assert set(figures) == {"parameters", "flops", "bytes", "time"}
    flops, steps = figures["flops"], metrics["fit/steps"]
    assert figures["parameters"]["in_all"] == metrics["model/parameters"]
    assert sum(figures["parameters"]["groups"].values()) == metrics["model/parameters"]
    for name in ("text", "image", "speech"):
        assert figures["parameters"]["active"][name] == metrics[f"model/{name}/active_parameters"]
        assert flops["forward_per_token"][name] == pytest.approx(
            metrics[f"model/{name}/forward_flops_per_token"], abs=1
        )
        assert flops["tokens_per_step"][name] == metrics[f"fit/{name}/tokens"] / steps
    # as `compare` counts it
    counted = 3 * sum(metrics[f"fit/{n}/tokens"] * metrics[f"model/{n}/forward_flops_per_token"]
                      for n in ("text", "image", "speech"))  # fmt: skip
    assert flops["training_per_step"] == pytest.approx(counted / steps, rel=1e-4)
    seconds = metrics["fit/training_seconds"] / steps
    assert figures["time"]["training_flops_per_second"] == pytest.approx(counted / steps / seconds, rel=1e-4)
    assert figures["bytes"]["optimizer"] > figures["bytes"]["gradients"] > 0


def test_activations_are_those_that_the_command_measures(tmp_path, trained, capsys):
    run(tmp_path, "ledger", *TINY)
    row = next(line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("activations"))
    size = strict(trained / "ledger.json")["bytes"]["activations"]
    assert row[-1] == f"{size / 1e6:,.1f}"
    assert size > 1e5
