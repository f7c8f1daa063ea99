"""Windows of the photographs that other packages ship."""

from importlib.util import find_spec

import numpy as np
import PIL.Image
import pytest

from datamodules import Records
from datamodules.columns import ImageColumn
from datamodules.sources import Photographs, photographs


def windows(**settings):
    source = Photographs(**settings)
    source.setup()
    return [source.record(i) for i in range(len(source))]


@pytest.fixture
def painted(tmp_path, monkeypatch):
    """Gives the windows of one photograph (130, 200) of two rows and three columns of regions."""

    def of(pixels, **settings):
        PIL.Image.fromarray(pixels).save(tmp_path / "painted.png")
        return windows(size=(20, 30), region=60, **settings)

    monkeypatch.setattr(photographs, "FILES", {"sklearn": ("painted.png",), "matplotlib": ()})
    monkeypatch.setattr(photographs, "_path", lambda _, file: tmp_path / file)
    return of


def noise(seed):
    return np.random.default_rng(seed).integers(256, size=(130, 200, 3), dtype=np.uint8)


def test_there_are_20_000_different_windows_of_three_photographs():
    records = windows()
    assert len({record["image"].tobytes() for record in records}) == len(records) > 20_000
    assert {record["image"].size for record in records} == {(40, 40)}
    assert {record["photograph"] for record in records} == {"china", "flower", "grace_hopper"}


def test_a_window_is_cut_from_its_photograph(painted):
    pixels = noise(0)
    records = painted(pixels, stride=7, scales=(1.0,))
    places = {(record["region"], np.asarray(record["image"]).tobytes()) for record in records}
    assert ("painted 0,0", pixels[7:27, 14:44].tobytes()) in places
    assert ("painted 1,0", pixels[65:85, :30].tobytes()) in places
    assert len(places) == len(records)


def test_no_window_sees_another_region_at_any_scale(painted):
    """So windows of held-out regions have no pixel in common with those that are trained on."""
    upper, before = noise(0), noise(1)
    after = np.concatenate([upper[:65], before[65:]])
    pairs = [*zip(painted(before, scales=(1.0, 0.7)), painted(after, scales=(1.0, 0.7)), strict=True)]
    assert {one["region"] for one, _ in pairs} == {f"painted {i},{j}" for i in range(2) for j in range(3)}
    for one, other in pairs:
        assert (one["image"].tobytes() == other["image"].tobytes()) == one["region"].startswith("painted 1")


def test_held_out_windows_are_of_other_regions():
    data = Records(Photographs(stride=10), {"image": ImageColumn(shape=(3, 40, 40))}, {"image": 1.0}, split_by="region")
    data.setup("fit")
    cells = [*data.source.values("region")]
    regions = {split: {cells[i] for i in records} for split, records in data.indices.items()}
    assert all(regions.values())
    assert sum(map(len, regions.values())) == len({*cells})
    assert len({region.split()[0] for region in regions["val"]}) == 3
    assert data.media("image", "val")[0].shape == (3, 40, 40)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (100, 40)}, r"data.source.region is 64, wanted room for a window of 100x40 at some scale"),
        ({"scales": ()}, r"data.source.scales is \[\], wanted some numbers above 0, up to 1"),
        ({"stride": 0}, r"data.source.stride is 0, wanted at least 1 pixel"),
    ],
)
def test_settings_without_windows_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        windows(**settings)


def test_a_missing_photograph_is_named(monkeypatch):
    monkeypatch.setattr(photographs, "FILES", {"sklearn": ("datasets/images/none.jpg",), "matplotlib": ()})
    with pytest.raises(ValueError, match=r"none.jpg is missing, wanted the photograph that sklearn ships"):
        windows()


def test_photographs_are_those_of_the_packages():
    assert {record["photograph"] for record in windows(packages=("matplotlib",), stride=20)} == {"grace_hopper"}
    with pytest.raises(ValueError, match=r"data.source.packages is \['torch'\], wanted one or more of sklearn, "):
        Photographs(packages=("torch",))


def test_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(photographs, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"data.source.packages has skimage, wanted an installed package"):
        windows(packages=("skimage",))


@pytest.mark.skipif(find_spec("skimage") is None, reason="scikit-image is not installed")
def test_scikit_image_adds_four_photographs():
    photographs_of = {record["photograph"] for record in windows(packages=("skimage",), stride=20)}
    assert photographs_of == {"astronaut", "chelsea", "coffee", "rocket"}
