"""Which checkpoint is meant: a file, or the newest state of a run's folder; and which run folder it lies in."""

from pathlib import Path

from mot_lightning.config.paths import absolute
from mot_lightning.errors import ConfigError

LAST, PREVIOUS, BEST = "last.ckpt", "last-1.ckpt", "best.ckpt"
NAMES = (LAST, PREVIOUS, BEST)  # in order of preference
CONFIG, WEIGHTS = "config.json", "model.safetensors"  # of a folder that holds a whole model, without pickles


def run_folder_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint lies in; None if it lies anywhere else, whatever is beside it."""
    folder = checkpoint.parent.parent
    return folder if checkpoint.parent.name == "checkpoints" and (folder / "config.yaml").is_file() else None


def holds_model(path: Path) -> bool:
    """Whether a path is a folder that export wrote, or what is left of one."""
    return any((path / name).is_file() for name in (CONFIG, WEIGHTS))


def find_checkpoint(path: Path, argument: str = "--ckpt_path") -> Path:
    """The checkpoint of a run folder or of its folder of checkpoints; any other path is returned, absolute.

    So is that of a folder that holds a whole model.

    A folder without checkpoints of these names, such as one of a plain Trainer, may have one of any name.

    Args:
        argument: the path's name in errors.

    Raises:
        ConfigError: a folder has no checkpoint, or several of other names.
    """
    path = absolute(path, argument)
    if not path.is_dir() or holds_model(path):
        return path
    files = [folder / name for folder in (path / "checkpoints", path) for name in NAMES]
    for file in files:
        if file.is_file():
            return file
    present = (file for folder in (path / "checkpoints", path) for file in folder.glob("[!.]*.ckpt"))
    others = sorted(file for file in present if file.is_file())
    if len(others) == 1:
        return others[0]
    if others:
        names = ", ".join(str(file.relative_to(path)) for file in others[:3]) + ("" if len(others) <= 3 else ", ...")
        raise ConfigError(f"{argument} {path} is a folder with {len(others)} checkpoints, wanted one of {names}")
    raise ConfigError(
        f"{argument} {path} is a folder without {LAST} or {BEST}, wanted a checkpoint, a run folder or a folder of "
        "checkpoints"
    )
