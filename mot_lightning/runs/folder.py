"""The run folder: runs/<experiment>/<n>/, chosen once and never overwritten."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from mot_lightning.config.paths import absolute
from mot_lightning.errors import ConfigError, NotWritten
from mot_lightning.runs.atomic import write_text

TORCHRUN = "TORCHELASTIC_RUN_ID"  # set in each process that torchrun starts
CHOSEN = "MOT_LIGHTNING_RUN"  # the folder that rank 0 chose, for the ranks that it launches


def choose(root: Any, experiment: Any) -> Path:
    """The next free root/<experiment>/<n>; nothing is created.

    Raises:
        ConfigError: root or experiment is not a name.
    """
    if CHOSEN in os.environ and os.environ.get("LOCAL_RANK", "0") != "0":
        return Path(os.environ[CHOSEN])
    if TORCHRUN in os.environ and os.environ["RANK"] != "0":
        return Path(_store().get(CHOSEN).decode())  # waits until rank 0 has chosen
    if not isinstance(root, str) or not root:
        raise ConfigError(f"runs is {root!r}, wanted the name of a folder")
    plain = isinstance(experiment, str) and experiment not in ("", ".", "..") and not {*experiment} & {*"/\\\0"}
    if not plain:
        raise ConfigError(f"experiment is {experiment!r}, wanted a plain folder name")
    folder = absolute(root, "runs") / experiment
    numbers = [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.is_dir() else []
    return folder / str(max(numbers, default=-1) + 1)


@contextmanager
def announced(folder: Path) -> Iterator[None]:
    """In this context, processes launched as other ranks choose this folder."""
    os.environ[CHOSEN] = str(folder)
    if TORCHRUN in os.environ and os.environ["RANK"] == "0":
        _store().set(CHOSEN, str(folder))
    try:
        yield
    finally:
        os.environ.pop(CHOSEN, None)


def create(folder: Path, config: dict[str, Any]) -> bool:
    """Create the folder and write the config into it; False if the folder already exists.

    Raises:
        ConfigError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise ConfigError(f"run folder {folder} cannot be created: {error.strerror}") from None
    try:
        write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    except NotWritten as error:
        folder.rmdir()
        raise ConfigError(str(error)) from None
    return True


def _store() -> Any:
    """The key-value store that torchrun shares among all ranks."""
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://"))
    return store
