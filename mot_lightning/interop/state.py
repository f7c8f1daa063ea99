"""Saved state as tensors and JSON, for files that hold nothing else."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

TENSOR = "tensor:"  # before the name of a tensor, in JSON


def split(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a state dict by name, and its other entries as JSON takes them, with names of tensors inside.

    Raises:
        ValueError: an entry holds what JSON does not.
    """
    tensors = {name: _plain(value) for name, value in state.items() if isinstance(value, Tensor)}
    others = {name: value for name, value in state.items() if name not in tensors}
    return tensors, {name: _flatten(value, name, tensors) for name, value in others.items()}


def join(tensors: Mapping[str, Tensor], others: Mapping[str, Any]) -> dict[str, Any]:
    """The state dict that `split` took apart.

    Raises:
        ValueError: a tensor is not there.
    """
    nested = {name: _restore(value, tensors) for name, value in others.items()}
    inside = tuple(f"{name}." for name in nested)
    return {**{name: x for name, x in tensors.items() if not name.startswith(inside)}, **nested}


def _plain(tensor: Tensor) -> Tensor:
    """A copy on the host that shares no memory with other tensors, which safetensors refuses."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _flatten(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[path] = _plain(value)
        return TENSOR + path
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _flatten(item, f"{path}.{key}", tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [_flatten(item, f"{path}.{i}", tensors) for i, item in enumerate(value)]
    if isinstance(value, int | float | None) or (isinstance(value, str) and not value.startswith(TENSOR)):
        return value
    what = "tensors, texts, numbers, lists, and mappings by texts"
    raise ValueError(f"the state {path} holds {type(value).__name__}, wanted {what}")


def _restore(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, str) and value.startswith(TENSOR):
        if (name := value.removeprefix(TENSOR)) not in tensors:
            raise ValueError(f"it has no tensor {name}")
        return tensors[name]
    if isinstance(value, dict):
        return {key: _restore(item, tensors) for key, item in value.items()}
    return [_restore(item, tensors) for item in value] if isinstance(value, list) else value
