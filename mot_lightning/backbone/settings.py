"""Size and shape of the backbone: which modalities share which weights, and the options of a layer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from mot_lightning.backbone.attention import AttentionBackend
from mot_lightning.backbone.moe import MoESettings
from mot_lightning.backbone.norm import EPS
from mot_lightning.backbone.rope import check_scaling
from mot_lightning.backbone.towers import Tower, TowerSettings, ffn_width, modalities_of
from mot_lightning.config.checked import checked
from mot_lightning.errors import require

# weights of a layer that towers share or untie
Shareable = Literal["ffn", "qkv", "o", "norm", "qk_norm"]
MAX_DEPTH = 4096  # more layers take minutes to build, however narrow
SHAREABLE: tuple[Shareable, ...] = get_args(Shareable)


@checked("backbone")
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
        norm: "pre" normalises the input of attention and feed-forward (Llama, Transfusion), "res_post" their output
            (Swin v2, arXiv 2111.09883; Chameleon; MoT, algorithm 1).
        norm_eps: added to the mean square in all norms.
        qk_norm: whether queries and keys are RMS-normalised (arXiv 2302.05442).
        qkv_bias: whether the projections to queries, keys and values have biases (Qwen2).
        dropout: dropout probability of the outputs of attention and feed-forward.
        rope_base: base of the rotary frequencies.
        rope_scaling: positions are divided by it (position interpolation, arXiv 2306.15595); or, as a mapping, Llama
            3.1's scaling of the low frequencies: `rope_type: llama3`, `factor`, `low_freq_factor`, `high_freq_factor`
            and `original_max_position_embeddings`, as in transformers.
        nope_layers: indices of layers without rotation (arXiv 2305.19466; SmolLM3).
        sliding_window: tokens that a token may see, itself included, as the weights were trained (Mistral); 0 is all.
            It is not computed: data whose rows are longer are refused.
        rope_2d: whether tokens on a grid are rotated by row and column, each with half of the frequencies.
        towers: modalities that share weights, by tower; empty gives every modality a tower of its own.
            One tower with all modalities is a dense transformer. A mapping of `modalities`, `dim`, `ffn_dim` and
            `joined_layers` gives a tower a size of its own (`TowerSettings`).
        untie: weights that are separate for each tower; all towers share the others.
        untied_layers: [start, end), the layers whose weights are untied; empty means all.
        sees: modalities that the tokens of a modality attend to, itself among them; one that is not named sees all.
            Control tokens are of the control modality.
        joined_layers: [first, after the last); in all other layers a token attends to its own modality alone (LaViDa-O,
            arXiv 2509.19244); empty means all.
        insulate: modalities whose keys and values get no gradient from the tokens of others (arXiv 2505.23705).
        experts: mixtures of experts in place of feed-forward networks, by tower.
        attention: how the attention over a packed batch is computed: "sdpa" (with a mask, anywhere), "blockwise"
            (without one, on the CPU), "flex" (on CUDA; on the CPU without gradients), or "auto", the fastest of them.
        compile: whether the code between attentions is compiled, once for all layers and token counts.
        cuda_graphs: whether steps on CUDA are captured as CUDA graphs and replayed: training steps with flex attention
            (token counts are padded to few sizes) and the steps of generation. Only rounding differs.
        activation_checkpointing: whether layers are recomputed in the backward pass, to save memory.
    """

    dim: int = 128
    depth: int = 4
    heads: int = 4
    kv_heads: int = 0
    head_dim: int = 0
    ffn_dim: int = 0
    norm: Literal["pre", "res_post"] = "pre"
    norm_eps: float = EPS
    qk_norm: bool = True
    qkv_bias: bool = False
    dropout: float = 0.0
    rope_base: float = 10_000.0
    rope_scaling: float | dict[str, float | str] = 1.0
    rope_2d: bool = False
    nope_layers: list[int] = field(default_factory=list)
    sliding_window: int = 0
    towers: dict[str, Tower] = field(default_factory=dict)
    untie: list[Shareable] = field(default_factory=lambda: list(SHAREABLE))
    untied_layers: list[int] = field(default_factory=list)
    sees: dict[str, list[str]] = field(default_factory=dict)
    joined_layers: list[int] = field(default_factory=list)
    insulate: list[str] = field(default_factory=list)
    experts: dict[str, MoESettings] = field(default_factory=dict)
    attention: AttentionBackend = "auto"
    compile: bool = False
    cuda_graphs: bool = False
    activation_checkpointing: bool = False

    def __post_init__(self) -> None:
        def check(name: str, requirement: str, fits: bool) -> None:
            require(f"backbone.{name}", getattr(self, name), requirement, fits)

        for name in ("dim", "depth", "heads"):
            check(name, "at least 1", getattr(self, name) >= 1)
        check("depth", f"at most {MAX_DEPTH}", self.depth <= MAX_DEPTH)
        for name in ("kv_heads", "head_dim", "ffn_dim"):
            check(name, "0 or more", getattr(self, name) >= 0)
        size, remainder = divmod(self.dim, self.heads)
        even_heads = not remainder and size % 2 == 0
        check("heads", f"a number that divides dim {self.dim} into even widths", self.head_dim > 0 or even_heads)
        # a head has head_dim / 2 angles; with rope_2d, half of them are for rows and half for columns
        multiple = 4 if self.rope_2d else 2
        require("backbone.head_dim", self.head_size, f"a multiple of {multiple}", self.head_size % multiple == 0)
        divides = self.heads % self.key_heads == 0
        check("kv_heads", f"a number that divides {self.heads} heads evenly", divides)
        check("rope_base", "above 1", self.rope_base > 1)
        check_scaling("backbone.rope_scaling", self.rope_scaling)
        check("norm_eps", "above 0", self.norm_eps > 0)
        check("nope_layers", f"from 0 to {self.depth - 1}", all(0 <= i < self.depth for i in self.nope_layers))
        check("sliding_window", "0 or more", self.sliding_window >= 0)
        check("dropout", "from 0 to below 1", 0 <= self.dropout < 1)
        check("norm", "'pre' or 'res_post'", self.norm in ("pre", "res_post"))
        backends = get_args(AttentionBackend)
        check("attention", ", ".join(backends), self.attention in backends)
        sized = {f"towers.{name}": tower for name, tower in self.towers.items() if isinstance(tower, TowerSettings)}
        for path, tower in sized.items():
            tower.check(f"backbone.{path}")
        joined = {f"{path}.joined_layers": tower.joined_layers for path, tower in sized.items()}
        joined_of_towers = [(path, layers) for path, layers in joined.items() if layers is not None]
        uncaptured = ("experts", "activation_checkpointing", "sees", "joined_layers", "insulate")
        others = [*(name for name in uncaptured if getattr(self, name)), *(name for name, _ in joined_of_towers)]
        if self.cuda_graphs and others:
            raise ValueError(f"backbone.cuda_graphs is true, wanted false with {others[0]}")
        for part in self.untie:
            if part not in SHAREABLE:
                raise ValueError(f"backbone.untie has {part!r}, wanted some of {', '.join(SHAREABLE)}")
        of_all = [("untied_layers", self.untied_layers), ("joined_layers", self.joined_layers)]
        for name, layers in [*of_all, *joined_of_towers]:
            in_order = not layers or (len(layers) == 2 and 0 <= layers[0] < layers[1] <= self.depth)
            require(f"backbone.{name}", layers, f"[first, after the last] from 0 to depth {self.depth}", in_order)
        self._check_sizes()
        if self.experts and any("ffn" in self.tied(layer) for layer in range(self.depth)):
            raise ValueError(f"backbone.experts has {next(iter(self.experts))!r}, wanted none: towers share ffn")

    def _check_sizes(self) -> None:
        """Towers of different sizes cannot share the weights that have this size."""
        shared = {part for layer in range(self.depth) for part in self.tied(layer)}
        sizes = {
            name: self.size_of(modalities_of(tower)) for name, tower in self.towers.items() if modalities_of(tower)
        }
        for number, (size, parts) in enumerate((("dim", ("ffn", "qkv", "o", "norm")), ("ffn_dim", ("ffn",)))):
            values = {name: size_of_tower[number] for name, size_of_tower in sizes.items()}
            if len({*values.values()}) > 1 and (common := [part for part in parts if part in shared]):
                seen = ", ".join(f"{name} {value}" for name, value in values.items())
                raise ValueError(
                    f"backbone.towers has {size} of {seen}, wanted equal ones where towers share {common[0]}"
                )

    @property
    def head_size(self) -> int:
        return self.head_dim or self.dim // self.heads

    @property
    def key_heads(self) -> int:
        return self.kv_heads or self.heads

    @property
    def hidden(self) -> int:
        return self.ffn_dim or ffn_width(self.dim)

    def size_of(self, modalities: Sequence[str]) -> tuple[int, int]:
        """Width of the hidden states and of SwiGLU in the tower of these modalities."""
        for tower in self.towers.values():
            if isinstance(tower, TowerSettings) and sorted(tower.modalities) == sorted(modalities):
                dim = tower.dim or self.dim
                return dim, tower.ffn_dim or (self.hidden if dim == self.dim else ffn_width(dim))
        return self.dim, self.hidden

    def joined(self, modality: str) -> range:
        """The layers in which a modality's tokens attend to those of others that are joined there."""
        for tower in self.towers.values():
            if isinstance(tower, TowerSettings) and modality in tower.modalities and tower.joined_layers is not None:
                return range(*(tower.joined_layers or (0, self.depth)))
        return range(*(self.joined_layers or (0, self.depth)))

    def check_length(self, name: str, length: int) -> None:
        """Raises ValueError if a sequence of this length has tokens that the sliding window would hide."""
        window = self.sliding_window
        require(name, length, f"at most backbone.sliding_window, {window}", not window or length <= window)

    def tied(self, layer: int) -> list[Shareable]:
        """Which weights of a layer all towers share."""
        first, end = self.untied_layers or (0, self.depth)
        return [part for part in SHAREABLE if part not in self.untie or not first <= layer < end]
