"""Where on the way from data (t = 0) to noise (t = 1) the loss of diffusion and flow matching is high."""

from typing import Any

import torch

from mot_lightning.callbacks.telemetry.probe import Probe
from mot_lightning.errors import ConfigError
from mot_lightning.evaluation.times import BINS, denoised, time_sums
from mot_lightning.sequence import InterleavedBatch


class LossByTime(Probe):
    """Logs `train/<modality>/loss_at_t<t>`: the mean loss of the times from t on, up to the next tenth.

    Of the live weights, for one sampled time of each segment, another at each step. Costs a forward pass where it logs.
    A tenth that no segment has sampled has no value.
    """

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if pl_module.model is not None and not denoised(pl_module.model):
            raise ConfigError("trainer.callbacks has LossByTime, wanted a modality with a diffusion or flow objective")

    @torch.no_grad()
    def measure(self, pl_module: Any, batch: InterleavedBatch) -> dict[str, float]:
        sums = time_sums(pl_module.model, [batch], [pl_module.seed + pl_module.global_step])
        totals = {name: of_documents.sum(0) for name, of_documents in sums.items()}  # (BINS, 2)
        return {
            f"{name}/loss_at_t{k / BINS:.1f}": float(loss / weight)
            for name, total in totals.items()
            for k, (loss, weight) in enumerate(total)
            if weight
        }
