"""`validate`: the losses of a checkpoint, printed."""

import re

from runs import rows, run


def test_it_prints_the_losses_that_training_saw(trained, tmp_path, capsys):
    assert run(tmp_path, "validate", f"--ckpt_path={trained / 'checkpoints/last.ckpt'}") == 0
    output = capsys.readouterr().out
    last = [row for row in rows(trained) if "val/loss" in row][-1]
    for name in ("loss", "image/loss", "text/loss", "speech/loss"):
        (value,) = re.findall(rf"^val/{name} +(\d+\.\d+)$", output, re.MULTILINE)
        assert value == f"{float(last[f'val/{name}']):.4f}"
