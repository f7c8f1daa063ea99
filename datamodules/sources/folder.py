"""Records from a folder of images, sounds and texts: files of one stem belong together."""

from pathlib import Path

from datamodules.sources.base import Member, Record, Source
from datamodules.sources.paths import inside
from mot_lightning.errors import BadMedia
from mot_lightning.media import Audio, Image, Text

COLUMNS = {
    suffix: name for name, kind in (("image", Image), ("audio", Audio), ("text", Text)) for suffix in kind.suffixes
}


class Folder(Source):
    """Files anywhere below a folder. Those that differ only in their suffix are one record.

    The columns are `image`, `audio` and `text`, as far as a record has such files, and `label`: the name of the folder
    that they are in.

    Args:
        path: the folder. Other files, and hidden ones, are left out.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.records: list[dict[str, Path | str | Member]] = []

    def setup(self) -> None:
        if self.records:
            return
        if not self.path.is_dir():
            raise ValueError(f"data.source.path {self.path} is not a folder, wanted one of images, sounds or texts")
        by_stem: dict[Path, dict[str, Path | str | Member]] = {}
        for path in sorted(self.path.rglob("*")):
            column, name = COLUMNS.get(path.suffix.lower()), path.relative_to(self.path)
            if column is None or not path.is_file() or any(part.startswith(".") for part in name.parts):
                continue
            record = by_stem.setdefault(path.with_suffix(""), {"label": path.parent.name})
            try:
                if column in record:
                    first = getattr(record[column], "name", path.stem)
                    message = f"{first} and {path.name} are both the {column} of a record, wanted one"
                    raise BadMedia(message, "duplicate")
                record[column] = inside(self.path, str(name), f"data.source.path {self.path}")
            except BadMedia as error:
                record[column] = self.instead(str(path), error)
        if not by_stem:
            raise ValueError(f"data.source.path {self.path} has no files of type {', '.join(COLUMNS)}")
        self.records = list(by_stem.values())

    def __len__(self) -> int:
        return len(self.records)

    def record(self, index: int) -> Record:
        return self.records[index]
