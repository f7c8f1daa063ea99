"""Values of records as media."""

import numpy as np
import PIL.Image
import pytest
import soundfile
import torch
from torchaudio.transforms import Resample, Speed
from torchvision.transforms.v2 import CenterCrop

from datamodules.columns import AudioColumn, ImageColumn, TextColumn


def test_images_are_resized_to_one_shape(tmp_path):
    PIL.Image.new("L", (9, 5), 51).save(tmp_path / "a.png")
    image = ImageColumn("a", (3, 4, 4)).decode(tmp_path / "a.png")
    torch.testing.assert_close(image, torch.full((3, 4, 4), 0.2))
    assert ImageColumn.codec_settings(column="a", shape=[1, 8, 8]) == {"shape": [1, 8, 8]}
    assert ImageColumn.codec_settings() == {"shape": list(ImageColumn().shape)}


def test_sounds_are_resampled_and_cut(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(8000) / 9), 16_000)
    assert len(AudioColumn("a", 8_000).decode(tmp_path / "a.wav")) == 4000
    assert len(AudioColumn("a", 8_000, max_seconds=0.25).decode(tmp_path / "a.wav")) == 2000
    assert AudioColumn.codec_settings() == {"sample_rate": AudioColumn().sample_rate}


def test_stretches_of_a_long_sound_are_media_of_equal_length(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.linspace(0.1, 1, 3_400), 1_000)
    column = AudioColumn("a", 1_000, max_seconds=1, stretches=4)
    record = {"a": tmp_path / "a.wav"}
    first, second, third, again = map(column.decode, column.values(record))
    whole = AudioColumn("a", 1_000).decode(tmp_path / "a.wav")
    assert torch.equal(torch.cat([first, second, third]), whole[:3_000])
    assert torch.equal(again, first)
    short = AudioColumn("a", 1_000, max_seconds=5, stretches=2)
    assert all(torch.equal(short.decode(value), whole) for value in short.values(record))
    assert column.values({"a": None}) == []


def test_texts_are_a_column_a_file_or_templates(tmp_path):
    (tmp_path / "a.txt").write_text("a cat\n")
    record = {"label": "cat", "n": 3, "text": ["one", "two"], "file": tmp_path / "a.txt"}
    assert TextColumn("text").values(record) == ["one", "two"]
    assert TextColumn("n").decode(3) == "3"
    column = TextColumn("file")
    assert column.decode(*column.values(record)) == "a cat"
    assert TextColumn(templates=["a {label}", "{n} x {label}"]).values(record) == ["a cat", "3 x cat"]
    assert TextColumn(templates=["ein Foto: {label}", "{label}の写真"]).values(record) == ["ein Foto: cat", "catの写真"]
    assert TextColumn("nothing").values(record) == []
    assert TextColumn("a").values({"a": ["", "b"]}) == ["b"]
    with pytest.raises(ValueError, match="column 'text' holds a list, wanted one value for a template"):
        TextColumn(templates=["a {text}"]).values(record)
    with pytest.raises(ValueError, match=r"gone.txt cannot be read: No such file"):
        column.decode(tmp_path / "gone.txt")


@pytest.mark.parametrize("template", ["{label.__class__}", "{0}", "{}", "{label[0]}"])
def test_templates_name_columns_and_nothing_else(template):
    with pytest.raises(ValueError, match="wanted a plain name"):
        TextColumn(templates=[template])


def test_template_with_an_unknown_column_is_refused():
    with pytest.raises(ValueError, match="have no column 'labl', wanted one of label"):
        TextColumn(templates=["{labl}"]).values({"label": "cat"})


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [(ImageColumn(), "a.png", "column 'image' holds 'a.png', wanted files: see data.source.files"),
     (AudioColumn(), 3, "column 'audio' holds '3', wanted files: see data.source.files"),
     (TextColumn(), {"a": 1}, "column 'text' holds .*, wanted texts")],
)  # fmt: skip
def test_other_values_are_refused(column, value, message):
    with pytest.raises(ValueError, match=message):
        column.decode(value)


def test_a_column_may_say_the_weight_of_each_loss():
    def weights(cell, count=2):
        return TextColumn("text", weight="w").weights({"w": cell}, count)

    assert TextColumn("text").weights({}, 2) == [1.0, 1.0]
    assert weights("0.5") == [0.5, 0.5]
    assert weights([0, 3]) == [0.0, 3.0]
    assert weights([None, ""]) == [1.0, 1.0]
    for bad in ([1], -1, "nan", float("inf"), "heavy", [1, [2]], {"a": 1}):
        with pytest.raises(ValueError, match=r"column 'w' holds .*, wanted a number or 2 of them from 0"):
            weights(bad)
    with pytest.raises(ValueError, match="the records have no column 'w', wanted one of text"):
        TextColumn("text", weight="w").weights({"text": "a"}, 1)


def test_settings_out_of_range_are_refused():
    for make in (lambda: ImageColumn("a", (2, 4, 4)), lambda: ImageColumn("a", (3, 0, 4)),
                 lambda: AudioColumn("a", 10), lambda: AudioColumn("a", max_seconds=0),
                 lambda: AudioColumn("a", stretches=2), lambda: AudioColumn("a", max_seconds=1, stretches=0),
                 lambda: AudioColumn("a", max_seconds=float("inf"))):  # fmt: skip
        with pytest.raises(ValueError, match=r"of column 'a' is .*, wanted"):
            make()


def test_transforms_follow_each_other():
    column = ImageColumn("a", (1, 2, 2), [lambda image: image + 1, lambda image: image * 3])
    assert column.transform(torch.zeros(1, 2, 2)).unique().tolist() == [3.0]


def test_speeds_and_rates_of_torchaudio_are_transforms():
    tone = torch.sin(torch.arange(8000) / 9)
    slow, half = Speed(8_000, 0.5), Resample(8_000, 4_000)
    assert AudioColumn("a", 8_000, transforms=[slow]).transform(tone).shape == (16_000,)
    assert AudioColumn("a", 8_000, transforms=[slow, half, half]).transform(tone).shape == (4_000,)


def test_transforms_that_change_the_shape_are_refused():
    column = ImageColumn("a", (3, 8, 8), [CenterCrop(4)])
    with pytest.raises(ValueError, match=r"transforms of column 'a' give an image \(3, 4, 4\), wanted \(3, 8, 8\)"):
        column.transform(torch.zeros(3, 8, 8))
