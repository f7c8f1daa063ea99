"""Records of data sets of torchvision, torchaudio and PyTorch."""

import json

import PIL.Image
import pytest
import torch
import torchaudio
import torchvision
from digit_files import write_half, write_sound
from runs import TINY, rows, run
from torch.utils.data import Dataset

from datamodules.columns import AudioColumn, ImageColumn, TextColumn
from datamodules.sources import TorchDataset


def opened(*arguments):
    source = TorchDataset(*arguments)
    source.setup()
    return source


@pytest.fixture
def mnist(tmp_path):
    """Random digits as torchvision reads them."""
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for seed, name in enumerate(("train", "t10k")):
        write_half(raw, name, 30, seed, zipped=False)
    return tmp_path


@pytest.fixture
def commands(tmp_path):
    """Tones in the layout of Speech Commands."""
    for word in ("yes", "no"):
        folder = tmp_path / "SpeechCommands/speech_commands_v0.02" / word
        folder.mkdir(parents=True)
        for i in range(12):
            write_sound(folder / f"{i:08}_nohash_{i}.wav", 300 + 20 * i, rate=16_000)
    return tmp_path


def test_images_and_the_names_of_their_classes_are_records(mnist):
    dataset = torchvision.datasets.MNIST(mnist)
    source = opened(dataset)
    assert len(source) == 30
    record = source.record(3)
    assert record["label"] == "3 - three"
    image = ImageColumn("image", (1, 28, 28)).decode(record["image"])
    assert torch.equal(image[0], dataset.data[3] / 255)
    assert TextColumn(None, ["a photo of {label}"]).values(record) == ["a photo of 3 - three"]


def test_labels_without_names_stay_numbers_and_synonyms_are_a_list():
    fake = torchvision.datasets.FakeData(5, (3, 8, 8), num_classes=2)
    assert isinstance(opened(fake).record(0)["label"], int)
    fake.classes = [("cat", "kitten"), "dog"]
    assert {str(opened(fake).record(i)["label"]) for i in range(5)} == {"['cat', 'kitten']", "dog"}
    assert ImageColumn("image", (3, 4, 4)).decode(opened(fake).record(1)["image"]).shape == (3, 4, 4)


def test_a_folder_of_images_and_a_damaged_one(tmp_path):
    for name, level in (("cat", 10), ("dog", 20)):
        (tmp_path / name).mkdir()
        PIL.Image.new("L", (4, 4), level).save(tmp_path / name / "0.png")
    (tmp_path / "dog/1.png").write_bytes(b"nothing")
    source = opened(torchvision.datasets.ImageFolder(tmp_path))
    assert [source.record(i)["label"] for i in range(2)] == ["cat", "dog"]
    with pytest.raises(ValueError, match="item 2 of ImageFolder cannot be read: cannot identify image file"):
        source.record(2)


def test_sounds_of_torchaudio_are_named_and_read_by_columns(commands):
    dataset = torchaudio.datasets.SPEECHCOMMANDS(commands)
    load = torchaudio.load
    source = opened(dataset, ["audio", "sample_rate", "label", "speaker", "number"])
    assert torchaudio.load is load
    record = source.record(13)
    assert {name: record[name] for name in ("sample_rate", "label", "speaker", "number")} == {
        "sample_rate": 16_000, "label": "yes", "speaker": "00000001", "number": 1,
    }  # fmt: skip
    path = commands / "SpeechCommands/speech_commands_v0.02/yes/00000001_nohash_1.wav"
    assert record["audio"] == path
    assert len(AudioColumn("audio", 8000).decode(record["audio"])) == 1200
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"item 13 of SPEECHCOMMANDS cannot be read: .*00000001_nohash_1.wav"):
        source.record(13)
    assert torchaudio.load is load


class Tones(Dataset):
    """Stereo sounds in memory with their rate."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        wave = torch.sin(torch.arange(1600) * (0.1 + index))
        return torch.stack([wave, 0.5 * wave]), 16_000, f"tone {index}"


def test_a_waveform_in_memory_is_resampled_and_its_channels_averaged(tmp_path):
    record = opened(Tones(), ["sound", "sample_rate", "caption"]).record(1)
    wave = AudioColumn("sound", 16_000).decode(record["sound"])
    torch.testing.assert_close(wave, 0.75 * torch.sin(torch.arange(1600) * 1.1))
    assert len(AudioColumn("sound", 8000).decode(record["sound"])) == 800
    silent = record["sound"]._replace(samples=torch.zeros(1, 8))
    with pytest.raises(ValueError, match="a sound of column 'sound': entirely silent"):
        AudioColumn("sound", 8000).decode(silent)


def test_items_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="item 0 of Tones has 3 fields, wanted a, b, c, d"):
        opened(Tones(), ["a", "b", "c", "d"]).record(0)
    with pytest.raises(ValueError, match="item 0 of Subset has a Tensor, wanted image, label"):
        opened(torch.utils.data.Subset(torch.zeros(3, 2), [1])).record(0)
    with pytest.raises(ValueError, match="Subset is empty, wanted at least 1 item"):
        opened(torch.utils.data.Subset(Tones(), []))
    with pytest.raises(ValueError, match=r"data.source.dataset is 'Dataset', wanted one with a length"):
        TorchDataset(Dataset())


def test_a_config_trains_on_a_class_of_torchvision(mnist, tmp_path, monkeypatch):
    config = {
        "model": {"modalities": {"speech": None, "image": {"codec": {"init_args": {"patch_size": 7}}}}},
        "data": {"class_path": "Records", "init_args": {
            "source": {"class_path": "TorchDataset", "init_args": {
                "dataset": {"class_path": "torchvision.datasets.MNIST", "init_args": {"root": "."}}}},
            "media": {
                "text": {"class_path": "TextColumn", "init_args": {"column": "label"}},
                "image": {"class_path": "ImageColumn", "init_args": {"shape": [1, 28, 28]}}},
            "documents": {"text+image": 1.0, "image+text": 1.0}, "val": 0.2, "test": 0.1}},
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    monkeypatch.chdir(mnist)
    assert run(tmp_path / "runs", "fit", f"--config={tmp_path}/config.yaml", *TINY) == 0
    folder = tmp_path / "runs/default/0"
    assert any("val/image/loss" in row for row in rows(folder))
    assert f"root: {mnist}" in (folder / "config.yaml").read_text()
    monkeypatch.chdir("/")
    assert run(tmp_path / "runs", "validate", f"--ckpt_path={folder}/checkpoints/last.ckpt") == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("root=nowhere", "Dataset not found"),
        ("rot=x", "there is no setting 'data.source.dataset.rot' of MNIST, did you mean data.source.dataset.root?"),
        ("train=[1]", "train"),
    ],
)
def test_bad_settings_of_a_data_set_are_one_line(mnist, refusal, setting, message):
    spec = json.dumps({"class_path": "torchvision.datasets.MNIST", "init_args": {"root": str(mnist)}})
    data = ["--data=Records", "--data.source=TorchDataset", f"--data.source.dataset={spec}",
            "--data.media={text: TextColumn, image: ImageColumn}", "--data.documents={text: 1}"]  # fmt: skip
    settings = [*data, f"--data.source.dataset.{setting}", "--model.modalities.speech=null"]
    assert message in refusal("fit", *settings, "--model.modalities.image.codec.patch_size=8")
