"""Pretrained networks from a folder or the hub, outside the model's module tree, and hashes of weights."""

import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SECONDS = 5.0  # for the hub to answer


class FrozenNetwork:
    """A network that a codec uses outside its module tree.

    Its weights are not parameters of the model, do not move to the model's device, and are in no checkpoint.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network: Any = network.requires_grad_(False).eval()

    @cached_property
    def hash(self) -> str:
        return content_hash(self.network.state_dict())


def content_hash(content: Any) -> str:
    """SHA-256 over names, shapes, types and values of nested mappings of tensors and plain values."""
    digest = hashlib.sha256()

    def add(name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key in sorted(value):
                add(f"{name}.{key}", value[key])
        elif isinstance(value, Tensor):
            value = value.detach().cpu().contiguous()
            digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
            digest.update(value.flatten().view(torch.uint8).numpy().data if value.numel() else b"")
        else:
            digest.update(f"{name} {value!r} ".encode())

    add("", content)
    return digest.hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' reports of many lines: what they say of missing weights is raised."""
    loggers = [logging.getLogger(name) for name in ("transformers", "diffusers")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def all_weights(loaded: tuple[Any, Mapping[str, Any]]) -> Any:
    """The network of a `from_pretrained` with `output_loading_info=True`.

    Raises:
        ValueError: it has random weights, because the file lacks some or has some of other shapes.
    """
    network, info = loaded
    mismatched = [key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]]
    if random := sorted({*info["missing_keys"], *mismatched}):
        others = f" and {len(random) - 1} more" if len(random) > 1 else ""
        raise ValueError(f"it has no weight {random[0]} of the right shape{others}")
    return network


def _check_no_code(folder: Path) -> None:
    """Raises ValueError if a folder brings Python code of its own, which is not run."""
    for name in ("config.json", "tokenizer_config.json"):
        if (file := folder / name).is_file() and "auto_map" in json.loads(file.read_text(encoding="utf-8")):
            raise ValueError(f"its {name} names code of its own (auto_map), which is not run")


def _check_hub(name: str) -> None:
    """Raises an error of the hub's client if it does not answer: libraries would ask six times, with pauses."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    if name.count("/") != 1 or name.startswith("/") or Path(name).exists():  # no USER/NAME
        return
    cached = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=name, repo_type="model"), "snapshots")
    if not cached.is_dir():
        get_session().head(constants.ENDPOINT, timeout=SECONDS)


def load_pretrained(load: Callable[[], Any], codec: str, name_or_path: str, expected: str) -> Any:
    """The result of `load`, without side effects on the global generator.

    Args:
        load: loads the network.
        codec, name_or_path, expected: for the error message.

    Raises:
        ValueError: loading fails; the message is one line.
    """
    try:
        _check_no_code(Path(name_or_path))
        _check_hub(name_or_path)
        with _quiet(), torch.random.fork_rng(devices=[]):  # random initial weights are sampled, then replaced
            return load()
    except Exception as error:  # libraries raise errors of many types for folders and hubs
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        here = "" if Path(name_or_path).is_absolute() else "there is no such folder here, and on the hub: "
        raise ValueError(f"{codec}: name_or_path is {name_or_path!r}, wanted {expected}: {here}{reason}") from None
