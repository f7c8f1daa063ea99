"""What codecs bring from outside: networks from a folder or a hub, held apart from the model, and hashes of weights."""

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn


class Held:
    """A network that a codec uses but is no part of its module tree.

    It counts as no weight of the model, moves to no device with it, and no checkpoint holds it.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network: Any = network.requires_grad_(False).eval()

    @cached_property
    def hash(self) -> str:
        return fingerprint(self.network.state_dict())


def fingerprint(content: Any) -> str:
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


def from_outside(load: Callable[[], Any], codec: str, name_or_path: str, wanted: str) -> Any:
    """What `load` finds under a name or in a folder.

    Raises:
        ValueError: it does not, in one line.
    """
    try:
        return load()
    except Exception as error:  # libraries raise whatever they meet in a folder or on the way to a hub
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{codec}: name_or_path is {name_or_path!r}, wanted {wanted}: {reason[0]}") from None
