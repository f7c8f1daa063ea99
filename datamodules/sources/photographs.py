"""Records from photographs that installed packages ship: real images that need no download."""

from bisect import bisect_right
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path

import PIL.Image

from datamodules.sources.base import Record, Source
from datamodules.sources.regions import Region, regions
from mot_lightning.errors import require

FILES = {  # in colour, by package; those of scikit-image are in the public domain or CC0
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
    "skimage": tuple(f"data/{name}" for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")),
}


class Photographs(Source):
    """Windows of photographs, of a temple, a flower and a person: by default 20,808 that overlap.

    The columns are `image`, `photograph` and `region`, for `split_by`: a block of a photograph. A window is inside one
    region at every scale, so those of different regions have no pixel in common.

    Args:
        size: height and width of a window in pixels.
        stride: pixels from a window to the next.
        scales: of the copies of the photographs that windows are cut from.
        region: least side of a region in pixels of the photograph.
        packages: whose photographs they are. With skimage, which scikit-image installs, there are four more: an
            astronaut, a cat, a cup and a rocket.
    """

    def __init__(
        self,
        size: tuple[int, int] = (40, 40),
        stride: int = 3,
        scales: tuple[float, ...] = (1.0, 0.75),
        region: int = 64,
        packages: tuple[str, ...] = ("sklearn", "matplotlib"),
    ) -> None:
        require("data.source.size", list(size), "at least 1 pixel", min(size) >= 1)
        require("data.source.stride", stride, "at least 1 pixel", stride >= 1)
        are_scales = bool(scales) and all(0 < scale <= 1 for scale in scales)
        require("data.source.scales", list(scales), "some numbers above 0, up to 1", are_scales)
        require("data.source.region", region, "at least 1 pixel", region >= 1)
        known = bool(packages) and {*packages} <= {*FILES} and len({*packages}) == len(packages)
        require("data.source.packages", list(packages), f"one or more of {', '.join(FILES)}, each once", known)
        self.size, self.stride, self.scales, self.region, self.packages = size, stride, scales, region, packages
        self.regions: list[tuple[str, Region]] = []  # with the name of the photograph
        self.ends: list[int] = []  # records up to the end of each region

    def setup(self) -> None:
        if self.regions:
            return
        for path in [_path(package, file) for package in self.packages for file in FILES[package]]:
            image = PIL.Image.open(path).convert("RGB")
            of_image = regions(image, self.region, self.scales, self.size, self.stride)
            self.regions += [(path.stem, region) for region in of_image]
        if not self.regions:
            size = "x".join(map(str, self.size))
            raise ValueError(f"data.source.region is {self.region}, wanted room for a window of {size} at some scale")
        self.ends = [*accumulate(region.rows * region.columns for _, region in self.regions)]

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def record(self, index: int) -> Record:
        number = bisect_right(self.ends, index)
        photograph, region = self.regions[number]
        window = region.window(index - self.ends[number - 1] if number else index, self.size, self.stride)
        return {"image": window, "photograph": photograph, "region": f"{photograph} {region.name}"}


def _path(package: str, file: str) -> Path:
    """A file of an installed package, which is not imported."""
    spec = find_spec(package)
    if spec is None or not spec.origin:
        raise ValueError(f"data.source.packages has {package}, wanted an installed package: its photographs are read")
    path = Path(spec.origin).parent / file
    if not path.is_file():
        raise ValueError(f"{path} is missing, wanted the photograph that {package} ships")
    return path
