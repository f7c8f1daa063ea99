"""Networks that metrics load: without unpickling, without waiting for hosts, and with random states as they were."""

import os
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mot_lightning.codecs.pretrained import SECONDS, load_pretrained
from mot_lightning.config.paths import absolute_or_name

ONLY_WEIGHTS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # read by every torch.load, also where a library asks for pickles


@contextmanager
def loading() -> Iterator[None]:
    """In this context, classes of libraries may load networks."""
    timeout, only_weights = socket.getdefaulttimeout(), os.environ.get(ONLY_WEIGHTS)
    try:
        socket.setdefaulttimeout(SECONDS)
        os.environ[ONLY_WEIGHTS] = "1"
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        socket.setdefaulttimeout(timeout)
        os.environ.pop(ONLY_WEIGHTS) if only_weights is None else os.environ.update({ONLY_WEIGHTS: only_weights})


def load(metric: str, name_or_path: str | Path, build: Callable[..., Any], expected: str) -> Any:
    """What `build` makes of a folder, or of a name on the hub.

    Args:
        metric: its name, for messages.
        build: takes the name, and the arguments that its `from_pretrained` needs.
        expected: for messages.

    Raises:
        ValueError: it cannot be had, in one line.
    """
    name = absolute_or_name(name_or_path, "name_or_path")

    def built() -> Any:
        from huggingface_hub import try_to_load_from_cache

        if Path(name).is_absolute() and not Path(name).is_dir():
            raise FileNotFoundError("there is no such folder")
        here = Path(name).is_dir() or isinstance(try_to_load_from_cache(name, "config.json"), str)
        return build(name, local_files_only=here, trust_remote_code=False)

    return load_pretrained(built, metric, name, expected)
