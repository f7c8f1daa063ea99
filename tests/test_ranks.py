"""Several ranks learn what one would from the same documents, and count exactly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_resume import TINY, rows, run

ROOT = Path(__file__).resolve().parents[1]
# noise is seeded by rank, so what is compared has none: text and speech, no dropout
QUIET = [*TINY, "--model.modalities.image=null", "--model.backbone.dropout=0", "--trainer.max_steps=3"]


@pytest.mark.timeout(240)
def test_two_ranks_equal_one_with_the_same_global_batch(tmp_path):
    assert run(tmp_path / "one", "fit", *QUIET, "--data.batch_size=8") == 0
    ranks = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp", "--data.batch_size=4"]
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "mot_lightning",
        "fit",
        *QUIET,
        *ranks,
        f"--runs={tmp_path / 'two'}",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [path.name for path in (tmp_path / "two/default").iterdir()] == ["0"]
    one, two = rows(tmp_path / "one/default/0"), rows(tmp_path / "two/default/0")
    assert [row["step"] for row in one] == [row["step"] for row in two]
    for a, b in zip(one, two, strict=True):
        for name in ("train/text/loss", "train/speech/loss"):
            if name in a:
                assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-4)
