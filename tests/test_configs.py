"""Every shipped YAML trains two steps and is measured."""

from pathlib import Path

import pytest
from test_resume import run

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "conf").rglob("*.yaml"))
LARGE = [path for path in CONFIGS if path.parent.name == "size" and path.stem != "chameleon_37m"]  # tests/test_sizes.py


@pytest.mark.parametrize("path", [path for path in CONFIGS if path not in LARGE], ids=lambda path: path.stem)
def test_a_shipped_config_trains_two_steps(path, tmp_path):
    arguments = ["--trainer.max_steps=2", "--trainer.val_check_interval=2", "--trainer.limit_val_batches=1"]
    arguments += ["--trainer.limit_test_batches=1", "--report.prompts=1", "--samples.prompts=1", "--data.batch_size=4"]
    assert run(tmp_path, "fit", f"--config={path}", *arguments) == 0
    assert list(tmp_path.rglob("metrics.json"))
