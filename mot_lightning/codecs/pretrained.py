"""Pretrained networks from a folder or the hub, outside the model's module tree, and hashes of weights."""

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn


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


def load_pretrained(load: Callable[[], Any], codec: str, name_or_path: str, expected: str) -> Any:
    """The result of `load`, without side effects on the global generator.

    Args:
        load: loads the network.
        codec, name_or_path, expected: for the error message.

    Raises:
        ValueError: loading fails; the message is one line.
    """
    try:
        with torch.random.fork_rng(devices=[]):  # random initial weights are sampled, then replaced
            return load()
    except Exception as error:  # libraries raise errors of many types for folders and hubs
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{codec}: name_or_path is {name_or_path!r}, wanted {expected}: {reason[0]}") from None
