"""Every shipped YAML trains two steps and is evaluated; tests/experiment/test_build.py builds each."""

import pytest
from digit_files import real_data
from runs import ROOT, run

CONFIGS = sorted(path for path in (ROOT / "conf").rglob("*.yaml") if path.parent.name != "suite")
LARGE = [path for path in CONFIGS if path.parent.name == "size" and path.stem != "chameleon_37m"]  # tests/test_sizes.py
# the setting of the data that a config needs, and their folder
DATA = {
    "flickr_speech": ("data.source.path", "flickr8k_spoken"),
    "study/chameleon_speech": ("data.sources.speech.source.path", "fsdd"),
}
WITH_VQ = ("chameleon", "chameleon_speech", "show_o")  # which they train if it is not cached
PRETRAINED = ("upcycle",)  # which start from a language model
QUICK = ("transfusion", "backbone/moe_4x")


def name(path):
    return str(path.relative_to(ROOT / "conf").with_suffix(""))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=name(path), marks=[] if name(path) in QUICK else pytest.mark.slow)
        for path in CONFIGS
        if path not in LARGE
    ],
)
def test_shipped_config_trains_two_steps(path, tmp_path, request):
    arguments = [
        "--trainer.max_steps=2", "--trainer.val_check_interval=2", "--trainer.limit_val_batches=1",
        "--trainer.limit_test_batches=1", "--trainer.enable_progress_bar=false", "--report.prompts=1",
        "--samples.prompts=1", "--data.batch_size=4",
    ]  # fmt: skip
    if name(path) in DATA:
        setting, folder = DATA[name(path)]
        arguments.append(f"--{setting}={real_data(folder)}")
    if name(path) in PRETRAINED:
        arguments.append(f"--model.pretrained.text={request.getfixturevalue('language_models')['llama']}")
    if name(path) in WITH_VQ:
        arguments.append("--model.modalities.image.codec.steps=20")
    assert run(tmp_path, "fit", f"--config={path}", *arguments) == 0
    assert list(tmp_path.rglob("metrics.json"))
