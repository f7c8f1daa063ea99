"""Metrics of a config: names of classes spelt out, and refused before work starts."""

import re

import pytest

from mot_lightning.errors import ConfigError
from mot_lightning.experiment.resolve import resolve

PATH = "report.metrics.image.one"


def metrics(*settings, allow=()):
    return resolve([], settings, allow)["report"]["metrics"]


def test_names_and_paths_of_classes_are_spelt_out_and_nothing_is_built(tmp_path):
    chosen = metrics(
        (f"{PATH}.class_path", "CLIPScore"),
        (f"{PATH}.name_or_path", str(tmp_path)),
        ("report.metrics.image.fid", "torchmetrics.image.fid.FrechetInceptionDistance"),
        ("report.metrics.image.kid", "KernelDistance"),
        ("report.metrics.image.kid.extractor", "{class_path: mot_lightning.codecs.Bytes}"),
        ("report.metrics.image.none", "PSNR"),
        ("report.metrics.image.none", "null"),
        ("report.metrics.speech.wer.class_path", "WordErrorRate"),
        ("report.metrics.speech.wer.name_or_path", "openai/whisper-tiny.en"),
    )
    assert chosen["image"].keys() == {"one", "fid", "kid"}
    assert chosen["image"]["one"] == {
        "class_path": "mot_lightning.evaluation.metrics.clip.CLIPScore",
        "init_args": {"name_or_path": str(tmp_path)},
    }
    assert chosen["image"]["fid"]["class_path"] == "torchmetrics.image.fid.FrechetInceptionDistance"
    assert chosen["image"]["kid"]["init_args"]["extractor"]["class_path"].endswith(".Bytes")
    assert chosen["speech"]["wer"]["init_args"] == {"name_or_path": "openai/whisper-tiny.en"}


def test_metrics_of_a_modality_that_is_left_out_are_too():
    assert metrics((PATH, "PSNR"), ("model.modalities.image", "null")) == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            [("report.metrics.imgae.one", "PSNR")],
            "report.metrics has 'imgae', which is no modality, did you mean image",
        ),
        ([(PATH, "PSNRS")], "there is no class 'mot_lightning.evaluation.metrics.PSNRS', did you mean PSNR"),
        ([(PATH, "mot_lightning.codecs.Bytes")], f"{PATH} is Bytes, wanted a class of torchmetrics.Metric"),
        ([(PATH, "CLIPScore"), (f"{PATH}.nam", "a")], f"there is no setting '{PATH}.nam' of CLIPScore"),
        ([(PATH, "WordErrorRate")], "WordErrorRate needs a value for name_or_path, wanted --"),
        ([(PATH, "torchmetrics.multimodal.CLIPScore")], "is outside the allowed packages: add --allow torchmetrics"),
        ([("report.metrics", "3")], "report.metrics is 3, wanted a mapping of settings"),
        ([("report.metrics.image", "PSNR")], "report.metrics.image is 'PSNR', wanted a mapping of settings"),
        ([(PATH, "3")], f"{PATH} is 3, wanted a mapping of settings"),
    ],
)
def test_what_does_not_fit_is_refused(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        metrics(*settings)
