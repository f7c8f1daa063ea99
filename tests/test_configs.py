"""Every shipped YAML trains two steps and is evaluated; tests/experiment/test_build.py builds each."""

import pytest
from digit_files import real_data
from runs import ROOT, run

CONFIGS = sorted((ROOT / "conf").rglob("*.yaml"))
LARGE = [path for path in CONFIGS if path.parent.name == "size" and path.stem != "chameleon_37m"]  # tests/test_sizes.py
DATA = {"flickr_speech": "flickr8k_spoken"}  # that a config needs
WITH_VQ = ("chameleon", "chameleon_speech", "show_o")  # which they train if it is not cached
QUICK = ("transfusion", "moe_4x")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[] if path.stem in QUICK else pytest.mark.slow)
        for path in CONFIGS
        if path not in LARGE
    ],
)
def test_shipped_config_trains_two_steps(path, tmp_path):
    arguments = [
        "--trainer.max_steps=2", "--trainer.val_check_interval=2", "--trainer.limit_val_batches=1",
        "--trainer.limit_test_batches=1", "--trainer.enable_progress_bar=false", "--report.prompts=1",
        "--samples.prompts=1", "--data.batch_size=4",
    ]  # fmt: skip
    if path.stem in DATA:
        arguments.append(f"--data.source.path={real_data(DATA[path.stem])}")
    if path.stem in WITH_VQ:
        arguments.append("--model.modalities.image.codec.steps=20")
    assert run(tmp_path, "fit", f"--config={path}", *arguments) == 0
    assert list(tmp_path.rglob("metrics.json"))
