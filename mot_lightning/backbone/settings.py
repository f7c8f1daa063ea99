"""Size and shape of the backbone: which modalities share which weights, and all that a layer may vary in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from mot_lightning.backbone.attention import Backend
from mot_lightning.backbone.moe import Experts

# what each tower may have of its own
Part = Literal["ffn", "qkv", "o", "norm", "qk_norm"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class BackboneSettings:
    """Size and shape of the backbone.

    Attributes:
        dim: width of the hidden states.
        depth: number of layers.
        heads: attention heads.
        kv_heads: heads of keys and values, each shared by several queries (GQA, arXiv 2305.13245); 0 takes `heads`.
        head_dim: width of a head, even; 0 takes `dim / heads`.
        ffn_dim: hidden width of SwiGLU; 0 takes the nearest multiple of 64 to `8/3 dim`.
        norm: "pre" normalises what enters a branch (Llama, Transfusion), "branch" what leaves it (Chameleon;
            MoT, algorithm 1).
        qk_norm: whether queries and keys are RMS-normalised (arXiv 2302.05442).
        dropout: share of each branch's outputs that is dropped.
        rope_base: base of the rotary frequencies.
        rope_scaling: positions are divided by it (position interpolation, arXiv 2306.15595).
        rope_2d: whether tokens that lie on a grid turn by row and column, half of the frequencies each.
        towers: modalities that share weights, by tower; empty gives every modality a tower of its own.
            One tower with all modalities is a dense transformer.
        untie: which weights each tower has of its own; the rest is one copy for all towers.
        untied_layers: first layer and the one after the last in which towers have weights of their own; empty
            for all.
        experts: in place of a tower's feed-forward network, by tower.
        attention: how the attention over a packed batch is computed: "sdpa" (with a mask, anywhere), "block_list"
            (without one, on the CPU), "flex" (on CUDA; on the CPU without gradients), or the fastest of them.
        compile: whether what stands between two attentions is compiled, once for all layers and numbers of tokens.
        activation_checkpointing: whether a layer is computed again in the backward pass instead of remembered.
    """

    dim: int = 128
    depth: int = 4
    heads: int = 4
    kv_heads: int = 0
    head_dim: int = 0
    ffn_dim: int = 0
    norm: Literal["pre", "branch"] = "pre"
    qk_norm: bool = True
    dropout: float = 0.0
    rope_base: float = 10_000.0
    rope_scaling: float = 1.0
    rope_2d: bool = False
    towers: dict[str, list[str]] = field(default_factory=dict)
    untie: list[Part] = field(default_factory=lambda: list(PARTS))
    untied_layers: list[int] = field(default_factory=list)
    experts: dict[str, Experts] = field(default_factory=dict)
    attention: Backend = "auto"
    compile: bool = False
    activation_checkpointing: bool = False

    def __post_init__(self) -> None:
        for name in ("dim", "depth", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"backbone.{name} is {getattr(self, name)}, wanted at least 1")
        for name in ("kv_heads", "head_dim", "ffn_dim"):
            if getattr(self, name) < 0:
                raise ValueError(f"backbone.{name} is {getattr(self, name)}, wanted 0 or more")
        if not self.head_dim and (self.dim % self.heads or self.dim // self.heads % 2):
            raise ValueError(
                f"backbone.heads is {self.heads}, wanted a number that divides dim {self.dim} evenly in two"
            )
        # both halves of a head turn by the same angles, of which a grid takes every other one
        even = 4 if self.rope_2d else 2
        if self.head_size % even:
            raise ValueError(f"backbone.head_dim is {self.head_size}, wanted a multiple of {even}")
        if self.heads % self.key_heads:
            raise ValueError(
                f"backbone.kv_heads is {self.kv_heads}, wanted a number that divides {self.heads} heads evenly"
            )
        if self.rope_base <= 1 or self.rope_scaling <= 0:
            name, least = ("rope_base", 1) if self.rope_base <= 1 else ("rope_scaling", 0)
            raise ValueError(f"backbone.{name} is {getattr(self, name)}, wanted above {least}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"backbone.dropout is {self.dropout}, wanted a share from 0 to below 1")
        if self.norm not in ("pre", "branch"):
            raise ValueError(f"backbone.norm is {self.norm!r}, wanted 'pre' or 'branch'")
        if self.attention not in get_args(Backend):
            raise ValueError(f"backbone.attention is {self.attention!r}, wanted {', '.join(get_args(Backend))}")
        for part in self.untie:
            if part not in PARTS:
                raise ValueError(f"backbone.untie has {part!r}, wanted some of {', '.join(PARTS)}")
        if self.untied_layers:
            given = list(self.untied_layers)
            if len(given) != 2 or not 0 <= given[0] < given[1] <= self.depth:
                raise ValueError(
                    f"backbone.untied_layers is {given}, wanted [first, after the last] from 0 to depth {self.depth}"
                )

        if self.experts and any("ffn" in self.tied(layer) for layer in range(self.depth)):
            raise ValueError(f"backbone.experts has {next(iter(self.experts))!r}, wanted none where ffn is not untied")

    @property
    def head_size(self) -> int:
        return self.head_dim or self.dim // self.heads

    @property
    def key_heads(self) -> int:
        return self.kv_heads or self.heads

    @property
    def hidden(self) -> int:
        return self.ffn_dim or max(64, round(8 * self.dim / 3 / 64) * 64)

    def tied(self, layer: int) -> list[Part]:
        """Which weights of a layer all towers share."""
        first, end = self.untied_layers or (0, self.depth)
        return [part for part in PARTS if part not in self.untie or not first <= layer < end]


def group_towers(towers: Mapping[str, Sequence[str]], modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """The modalities of each tower, in an order that does not depend on how they were declared.

    Raises:
        ValueError: a modality is in no tower or in two, or a tower names one that does not exist.
    """
    if not towers:
        return [(name,) for name in sorted(modalities)]
    named = [name for members in towers.values() for name in members]
    for name in sorted({*named, *modalities}):
        if name not in modalities:
            raise ValueError(f"backbone.towers names {name!r}, wanted modalities among {', '.join(sorted(modalities))}")
        if named.count(name) != 1:
            raise ValueError(
                f"backbone.towers names {name!r} {named.count(name)} times, wanted it in exactly one tower"
            )
    return sorted(tuple(sorted(members)) for members in towers.values() if members)
