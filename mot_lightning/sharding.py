"""Weights in slices, one on each rank (FSDP2, arXiv 2411.00284), and whole again where one rank works alone.

Knows layers and ranks; nothing of what they compute. `--trainer.strategy=fsdp2` names the strategy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from mot_lightning.model import MixtureOfTransformers


class FSDP2(ModelParallelStrategy):
    """Every rank holds a slice of every layer and learns from documents of its own; a checkpoint is one file."""

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """As any strategy; what codecs learned stands whole on each rank, and is loaded by it."""
        checkpoint = super().load_checkpoint(checkpoint_path, weights_only)
        assert self.lightning_module is not None
        codecs: Any = self.lightning_module.codecs
        weights = torch.load(checkpoint_path, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
        codecs.load_state_dict({k.removeprefix("codecs."): v for k, v in weights.items() if k.startswith("codecs.")})
        return checkpoint


StrategyRegistry.register("fsdp2", FSDP2, description=FSDP2.__doc__)


def shard(model: MixtureOfTransformers, mesh: DeviceMesh) -> None:
    """Layer by layer, so that one layer at a time is whole. What is sharded already stays so."""
    if not isinstance(model, FSDPModule):
        for part in (*model.backbone.layers, model):
            fully_shard(part, mesh=mesh)


@contextmanager
def whole(*models: MixtureOfTransformers) -> Iterator[None]:
    """Within it each rank has all weights, and may use any part of a model without the others.

    All ranks have to enter together; nothing happens to models that are not sharded.
    """
    parts = [part for model in models for part in model.modules() if isinstance(part, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            # a root keeps its own weights until backward, as they are needed there first
            part.set_reshard_after_forward(part not in models, recurse=False)
