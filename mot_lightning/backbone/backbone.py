"""The Mixture-of-Transformers backbone (arXiv 2411.04996): towers of weights, joined by one attention per layer.

Knows vectors, their positions and condition vectors, not ids, latents, losses or time.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mot_lightning.backbone.attention import AttentionFn
from mot_lightning.backbone.attention.flex import FlexAttention
from mot_lightning.backbone.attention.visibility import Visibility
from mot_lightning.backbone.block import BatchPositions, Block
from mot_lightning.backbone.bridge import Bridge
from mot_lightning.backbone.graphs import TrainingGraphs, can_capture
from mot_lightning.backbone.memory import check_memory
from mot_lightning.backbone.norm import RMSNorm
from mot_lightning.backbone.padding import PaddedBatch
from mot_lightning.backbone.rope import grid_position, rope
from mot_lightning.backbone.settings import BackboneSettings
from mot_lightning.backbone.tower import Condition, cat_rows
from mot_lightning.backbone.towers import experts_by_tower, group_towers


class Backbone(nn.Module):
    """Mixture of Transformers.

    Args:
        settings: size and shape.
        modalities: names of all modalities.
        conditioned: modalities whose objective gives a condition vector per segment (adaptive norm).
        grids: rows and columns of a segment, for modalities on a grid.
    """

    layers: Sequence[Block]

    def __init__(
        self,
        settings: BackboneSettings,
        modalities: Sequence[str],
        conditioned: frozenset[str] = frozenset(),
        grids: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.grids = settings, dict(grids or {}) if settings.rope_2d else {}
        self.towers = group_towers(settings.towers, modalities)
        joined = [settings.joined(name) for name in self.modalities]
        self.visibility = Visibility(self.modalities, settings.sees, settings.insulate, joined, settings.depth)
        experts = experts_by_tower(settings.experts, settings.towers, modalities)
        check_memory(settings, lambda: Block(self.towers, conditioned, settings, 0, experts))
        self.layers = nn.ModuleList(  # type: ignore[assignment]
            Block(self.towers, conditioned, settings, number, experts) for number in range(settings.depth)
        )
        widths = [settings.size_of(tower)[0] for tower in self.towers]
        self.norms = nn.ModuleList(RMSNorm(width, settings.norm_eps) for width in widths)
        if "norm" not in settings.untie:
            self.norms = nn.ModuleList(self.norms[0] for _ in self.towers)
        unequal = {str(i): width for i, width in enumerate(widths) if width != settings.dim}
        self.bridges: Mapping[str, Bridge] = nn.ModuleDict(  # type: ignore[assignment]
            {number: Bridge(settings.dim, width) for number, width in unequal.items()}
        )
        self.graphs = TrainingGraphs() if settings.cuda_graphs else None

    @property
    def modalities(self) -> tuple[str, ...]:
        """All modalities, in the order in which their tokens are grouped."""
        return tuple(name for tower in self.towers for name in tower)

    def tower_of(self, modality: str) -> int:
        """The index of a modality's tower."""
        return next(i for i, members in enumerate(self.towers) if modality in members)

    def weights_of(self, modality: str) -> list[nn.Module]:
        """All modules that a token of one modality passes through."""
        tower = self.tower_of(modality)
        layers = [layer.towers[tower] for layer in self.layers]
        bridge = [self.bridges[str(tower)]] if str(tower) in self.bridges else []
        return [*(module for layer in layers for module in layer.weights_of(modality)), self.norms[tower], *bridge]

    def adapt(self, modality: str, vectors: Float[Tensor, "k d"]) -> Float[Tensor, "k depth 6 d"]:
        """Modulation of all layers for condition vectors of a modality: shift, gain and gate of attention and FFN.

        In the result, d is the width of the modality's tower.
        """
        tower = self.tower_of(modality)
        return torch.stack([layer.towers[tower].adapted(modality, vectors) for layer in self.layers], dim=1)

    def forward(
        self,
        x: Float[Tensor, "N d"],
        counts: Sequence[int],
        position: Int[Tensor, " N"],
        attend: AttentionFn,
        conditions: dict[str, Condition],
    ) -> Float[Tensor, "N d"]:
        """Hidden states of the last layer, normalised.

        Args:
            x: embeddings, grouped by tower and modality.
            counts: tokens of each modality, in the order of `modalities`.
            position: of each token within its document.
            attend: the global attention over the queries, keys and values of all towers.
            conditions: of each conditioned modality.
        """
        parameters = list(self.parameters()) if self.graphs is not None else []
        if self.graphs is not None and isinstance(attend, FlexAttention) and x.is_cuda and can_capture(parameters):
            batch = PaddedBatch(self.modalities, x, counts, position, attend.ranges, conditions)

            def run(tensors: Mapping[str, Tensor]) -> Tensor:
                x, position, ranges, conditions = batch.inputs(tensors)
                return self._run(x, batch.sizes, position, FlexAttention(ranges), conditions)

            return batch.without_padding(self.graphs(batch, run, parameters, self.training))
        return self._run(x, counts, position, attend, conditions)

    def _run(
        self, x: Tensor, counts: Sequence[int], position: Tensor, attend: AttentionFn, conditions: dict[str, Condition]
    ) -> Tensor:
        settings = self.settings
        per_modality = dict(zip(self.modalities, counts, strict=True))
        sizes = [sum(per_modality[m] for m in tower) for tower in self.towers]
        # in training, towers without tokens run too, so that all gradients are defined on every rank
        live = [i for i, size in enumerate(sizes) if size or torch.is_grad_enabled()]
        sizes = [sizes[i] for i in live]
        position = self._rotary_position(position, counts)
        angles = rope(position, settings.head_size, settings.rope_base, settings.rope_scaling)  # (N, e) each
        positions = BatchPositions(live, sizes, per_modality, *(angle[:, None, None] for angle in angles))
        still = positions
        if settings.nope_layers:  # where queries and keys stay as they are
            still = positions._replace(cos=torch.ones_like(positions.cos), sin=torch.zeros_like(positions.sin))
        xs = [self._into(i, part) for i, part in zip(live, x.split(sizes), strict=True)]  # (n, d) of each tower
        for number, layer in enumerate(self.layers):
            at = still if number in settings.nope_layers else positions
            if settings.activation_checkpointing and torch.is_grad_enabled():
                xs = checkpoint(layer, xs, at, attend, conditions, use_reentrant=False)
            else:
                xs = layer(xs, at, attend, conditions)
        return cat_rows([self._out_of(i, self.norms[i](x)) for i, x in zip(live, xs, strict=True)])  # (N, d)

    def _into(self, tower: int, x: Tensor) -> Tensor:
        return self.bridges[str(tower)].in_(x) if str(tower) in self.bridges else x

    def _out_of(self, tower: int, x: Tensor) -> Tensor:
        return self.bridges[str(tower)].out_(x) if str(tower) in self.bridges else x

    def _rotary_position(self, position: Tensor, counts: Sequence[int]) -> Tensor:
        """Position of each token for its rotation: (N,) in the document or, with `rope_2d`, (N, 2) row and column."""
        if not self.settings.rope_2d:
            return position
        parts = zip(self.modalities, position.split(list(counts)), strict=True)
        return torch.cat([grid_position(part, self.grids.get(name)) for name, part in parts])
