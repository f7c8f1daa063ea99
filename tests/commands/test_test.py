"""`test`: a checkpoint alone is enough."""

import json

from runs import run


def test_a_checkpoint_alone_reproduces_its_test_figures(tmp_path, trained):
    assert run(tmp_path, "test", f"--ckpt_path={trained / 'checkpoints/last.ckpt'}") == 0
    first, again = (json.loads((run / "metrics.json").read_text()) for run in (trained, tmp_path / "default/0"))
    tested = {name: value for name, value in first.items() if name.startswith("test/")}
    assert tested
    assert {name: value for name, value in again.items() if name.startswith("test/")} == tested
