"""Records from photographs of a folder, or of those that scikit-learn and matplotlib ship: no download is needed."""

from bisect import bisect_right
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path

import PIL.Image
import PIL.ImageOps

from datamodules.sources.base import Record, Source
from datamodules.sources.regions import Region, regions
from mot_lightning.errors import require
from mot_lightning.media import Image

FILES = (
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)


class Photographs(Source):
    """Windows of photographs: by default 20,808, which overlap, of a temple, a flower and a person.

    The columns are `image`, `photograph` and `region`, for `split_by`: a block of a photograph. A window is inside one
    region at every scale, so those of different regions have no pixel in common.

    Args:
        size: height and width of a window in pixels.
        stride: pixels from a window to the next.
        scales: of the copies of the photographs that windows are cut from.
        region: least side of a region in pixels of the photograph.
        folder: of other photographs, at any depth; they are kept in memory as pixels, 3 bytes each.
    """

    def __init__(
        self,
        size: tuple[int, int] = (40, 40),
        stride: int = 3,
        scales: tuple[float, ...] = (1.0, 0.75),
        region: int = 64,
        folder: Path | None = None,
    ) -> None:
        require("data.source.size", list(size), "at least 1 pixel", min(size) >= 1)
        require("data.source.stride", stride, "at least 1 pixel", stride >= 1)
        are_scales = bool(scales) and all(0 < scale <= 1 for scale in scales)
        require("data.source.scales", list(scales), "some numbers above 0, up to 1", are_scales)
        require("data.source.region", region, "at least 1 pixel", region >= 1)
        self.size, self.stride, self.scales, self.region = size, stride, scales, region
        self.folder = None if folder is None else Path(folder)
        self.regions: list[tuple[str, Region]] = []  # with the name of the photograph
        self.ends: list[int] = []  # records up to the end of each region

    def setup(self) -> None:
        if self.regions:
            return
        for path in _files(self.folder) if self.folder else [_path(package, file) for package, file in FILES]:
            try:
                image = PIL.ImageOps.exif_transpose(PIL.Image.open(path)).convert("RGB")
            except (OSError, PIL.Image.DecompressionBombError) as error:
                raise ValueError(f"{path} is no photograph: {' '.join(str(error).split())}") from error
            of_image = regions(image, self.region, self.scales, self.size, self.stride)
            name = str(path.relative_to(self.folder)) if self.folder else path.stem
            self.regions += [(name, region) for region in of_image]
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


def _files(folder: Path) -> list[Path]:
    """The images anywhere below a folder, without hidden ones."""
    if not folder.is_dir():
        raise ValueError(f"data.source.folder is {folder}, wanted a folder of photographs")
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in Image.suffixes and path.is_file()]
    files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not files:
        raise ValueError(f"data.source.folder is {folder}, which has no files of type {', '.join(Image.suffixes)}")
    return files


def _path(package: str, file: str) -> Path:
    """A file of an installed package, which is not imported."""
    spec = find_spec(package)
    path = Path(spec.origin).parent / file if spec and spec.origin else Path(file)
    if not path.is_file():
        raise ValueError(f"{path} is missing, wanted the photograph that {package} ships")
    return path
