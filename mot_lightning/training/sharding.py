"""Weights sharded over ranks (FSDP2, arXiv 2410.06511), and gathered where one rank runs the model alone.

Knows layers and ranks, not what they compute. `--trainer.strategy=fsdp2` selects it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from mot_lightning.model import MixtureOfTransformers


class FSDP2(ModelParallelStrategy):
    """Every rank has a shard of every layer and its own documents; a checkpoint is one file."""

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """As in the base class; the state of codecs is not sharded, so each rank loads all of it."""
        checkpoint = super().load_checkpoint(checkpoint_path, weights_only)
        assert self.lightning_module is not None
        codecs: Any = self.lightning_module.codecs
        weights = torch.load(checkpoint_path, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
        codecs.load_state_dict({k.removeprefix("codecs."): v for k, v in weights.items() if k.startswith("codecs.")})
        return checkpoint


StrategyRegistry.register("fsdp2", FSDP2, description=FSDP2.__doc__)


def shard(model: MixtureOfTransformers, mesh: DeviceMesh) -> None:
    """Shard a model layer by layer, so that one layer at a time is gathered. A sharded model is left unchanged."""
    if not isinstance(model, FSDPModule):
        for part in (*model.backbone.layers, model):
            fully_shard(part, mesh=mesh)


@contextmanager
def summon_full_params(*models: MixtureOfTransformers) -> Iterator[None]:
    """In this context, each rank has all weights and may run any part of a model without the other ranks.

    All ranks must enter it together; models that are not sharded are left unchanged.
    """
    roots: tuple[nn.Module, ...] = models
    parts = [part for model in models for part in model.modules() if isinstance(part, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            # the root's weights stay gathered until backward, which needs them first
            part.set_reshard_after_forward(part not in roots, recurse=False)


def full_norm(norm: Tensor) -> Tensor:
    """The norm over all ranks, from a norm that may be a sharded DTensor."""
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm
