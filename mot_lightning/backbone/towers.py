"""Towers: which modalities share weights, and how wide a tower is.

Knows names and sizes; `tower.py` has the weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mot_lightning.backbone.moe import MoESettings
from mot_lightning.config.checked import checked
from mot_lightning.errors import require


@checked("backbone.towers")
@dataclass(frozen=True)
class TowerSettings:
    """A tower of a size of its own.

    Its queries, keys and values have the heads and the head size of all towers, as one attention joins them.

    Attributes:
        modalities: those that share its weights.
        dim: width of its hidden states; null takes that of the backbone.
        ffn_dim: hidden width of SwiGLU; null takes that of the backbone or, with another `dim`, the nearest multiple of
            64 to `8/3 dim`.
        joined_layers: [first, after the last), the layers in which its tokens and those of other modalities attend to
            each other, where these join too; empty means all, null takes those of the backbone.
    """

    modalities: list[str]
    dim: int | None = None
    ffn_dim: int | None = None
    joined_layers: list[int] | None = None

    def check(self, path: str) -> None:
        """Raises ValueError if it has no modality or no width; `path` is its place in a config."""
        require(f"{path}.modalities", self.modalities, "at least one", bool(self.modalities))
        for name in ("dim", "ffn_dim"):
            width = getattr(self, name)
            require(f"{path}.{name}", width, "at least 1, or null", width is None or width >= 1)


Tower = list[str] | TowerSettings


def ffn_width(dim: int) -> int:
    """The hidden width of SwiGLU that has about as many weights as two layers of 4 dim (arXiv 2002.05202)."""
    return max(64, round(8 * dim / 3 / 64) * 64)


def modalities_of(tower: Sequence[str] | TowerSettings) -> Sequence[str]:
    """The modalities of a tower, however it is set."""
    return tower.modalities if isinstance(tower, TowerSettings) else tower


def group_towers(towers: Mapping[str, Tower], modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """The modalities of each tower, in an order that does not depend on the declaration.

    Raises:
        ValueError: a modality is in no tower or in two, or a tower names one that does not exist.
    """
    if not towers:
        return [(name,) for name in sorted(modalities)]
    named = [name for tower in towers.values() for name in modalities_of(tower)]
    for name in sorted({*named, *modalities}):
        if name not in modalities:
            raise ValueError(f"backbone.towers names {name!r}, wanted modalities among {', '.join(sorted(modalities))}")
        if named.count(name) != 1:
            raise ValueError(
                f"backbone.towers names {name!r} {named.count(name)} times, wanted it in exactly one tower"
            )
    return sorted(tuple(sorted(modalities_of(tower))) for tower in towers.values() if modalities_of(tower))


def tower_members(towers: Mapping[str, Tower], modalities: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The sorted modalities of each tower; without `towers`, each modality is a tower of its name."""
    members = {name: tuple(sorted(modalities_of(tower))) for name, tower in towers.items() if modalities_of(tower)}
    return members or {name: (name,) for name in modalities}


def experts_by_tower(
    experts: Mapping[str, MoESettings], towers: Mapping[str, Tower], modalities: Sequence[str]
) -> dict[tuple[str, ...], MoESettings]:
    """Settings by the sorted modalities of each tower.

    Raises:
        ValueError: there is no such tower.
    """
    members = tower_members(towers, modalities)
    for name in experts:
        if name not in members:
            raise ValueError(f"backbone.experts has {name!r}, wanted towers among {', '.join(sorted(members))}")
    return {members[name]: settings for name, settings in experts.items()}
