"""Messages about a setting of a modality name the modality."""

import pytest

from mot_lightning.experiment.modality_of import with_modality

CONFIG = {
    "model": {"modalities": {
        "image": {"weight": "a", "codec": {"class_path": "Patches", "init_args": {"patch_size": 4}}},
        "depth": {"weight": 1, "codec": {"class_path": "Patches", "init_args": {"patch_size": 2}}},
        "text": None,
    }},
    "data": {"init_args": {"media": {
        "image": {"class_path": "ImageColumn", "init_args": {"shape": [1, "x", 8]}},
        "depth": {"class_path": "ImageColumn", "init_args": {"shape": 5}},
    }}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "path"),
    [("patch_size is 4, wanted a divisor", "model.modalities.image.codec.patch_size"),
     ("weight is 'a', wanted a number", "model.modalities.image.weight"),
     ("data.media.shape is 5, wanted a list", "data.media.depth.shape"),
     ("data.media.shape is 'x', wanted a whole number", "data.media.image.shape"),
     ("data.media.shape is 7, wanted a list", "data.media.shape"),
     ("class_path is Patches, wanted another", "class_path"),  # of two
     ("model.optimizer.algorithm is x, wanted another", "model.optimizer.algorithm"),
     ("trainer does not fit", "trainer does not fit")],
)  # fmt: skip
def test_the_modality_is_named_if_only_one_has_the_value(line, path):
    assert with_modality(line, CONFIG) == line.replace(line.partition(" is ")[0], path)


def test_a_config_without_modalities_is_no_error():
    assert with_modality("data.media.shape is 5, wanted 6", {"model": {}, "data": {}}).startswith("data.media.shape")


@pytest.mark.parametrize(
    ("setting", "message"),
    [("codec.patch_size=3", "model.modalities.image.codec.patch_size is 3, wanted a divisor of the image's 8x8"),
     ("weight=a", "model.modalities.image.weight is a, wanted a number")],
)  # fmt: skip
def test_commands_name_the_modality(refusal, setting, message):
    assert message in refusal("fit", f"--model.modalities.image.{setting}")


@pytest.mark.parametrize("column", ["ImageColumn", "ArrayColumn"])
def test_a_shape_that_is_no_list_is_refused_in_one_line(refusal, tmp_path, column):
    (tmp_path / "data.yaml").write_text(
        "model: {modalities: {speech: null}}\ndata: {class_path: Records, init_args: {documents: {image: 1.0}, source: "
        f"{{class_path: TinyShakespeare}}, media: {{image: {{class_path: {column}, init_args: {{shape: 5}}}}}}}}}}\n"
    )
    arguments = [f"--config={tmp_path / 'data.yaml'}", "--model.modalities.image.codec.patch_size=4"]
    assert "data.media.image.shape is 5, wanted a list" in refusal("fit", *arguments)
