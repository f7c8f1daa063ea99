"""Mixture of experts in place of a feed-forward network, with learned routing of tokens to experts.

Knows vectors; the settings choose the towers that have experts, and the trainer adds their losses.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from mot_lightning.config.checked import checked
from mot_lightning.errors import require
from mot_lightning.initialisation import NEARLY_UNIFORM, init_linear, residual_std


@checked("backbone.experts")
@dataclass(frozen=True)
class MoESettings:
    """Experts in place of one tower's feed-forward network.

    Attributes:
        count: number of experts.
        choice: "expert" lets each expert choose its tokens (MoE-4x of the MoT paper; arXiv 2202.09368), which depends
            on later tokens in training; "token" lets each token choose its experts (arXiv 2101.03961).
        capacity: experts per token on average, with expert choice; 1 costs as much as one network.
        top_k: experts per token, with token choice.
        load_balancing_weight: weight of the load-balancing loss, with token choice.
        ffn_dim: hidden width of each expert; 0 takes the backbone's.
        evaluation: routing of expert choice outside training: "predictor" is causal and can generate, "router"
            chooses as in training, which leaks later tokens.
    """

    count: int = 4
    choice: Literal["expert", "token"] = "expert"
    capacity: float = 1.0
    top_k: int = 1
    load_balancing_weight: float = 0.01
    ffn_dim: int = 0
    evaluation: Literal["predictor", "router"] = "predictor"

    def __post_init__(self) -> None:
        def check(name: str, requirement: str, fits: bool) -> None:
            require(f"backbone.experts.{name}", getattr(self, name), requirement, fits)

        check("count", "at least 1", self.count >= 1)
        check("choice", "'expert' or 'token'", self.choice in ("expert", "token"))
        check("capacity", f"above 0, and at most count {self.count}", 0 < self.capacity <= self.count)
        check("top_k", f"from 1 to count {self.count}", 1 <= self.top_k <= self.count)
        check("load_balancing_weight", "0 or more", self.load_balancing_weight >= 0)
        check("ffn_dim", "0 or more", self.ffn_dim >= 0)
        check("evaluation", "'predictor' or 'router'", self.evaluation in ("predictor", "router"))

    def build(self, dim: int, ffn_dim: int, depth: int = 1) -> "MixtureOfExperts":
        """The mixture for a backbone of this width and depth."""
        kind = ExpertChoice if self.choice == "expert" else TokenChoice
        return kind(self, dim, self.ffn_dim or ffn_dim, depth)


class ExpertWeights(nn.Module):
    """`count` SwiGLUs of one shape, stacked in two tensors."""

    def __init__(self, count: int, dim: int, hidden: int, depth: int = 1) -> None:
        super().__init__()
        self.gate_up = nn.Parameter(dim**-0.5 * torch.randn(count, dim, 2 * hidden))  # (count, d, 2 hidden)
        self.down = nn.Parameter(residual_std(hidden, depth) * torch.randn(count, hidden, dim))  # (count, hidden, d)

    def forward(self, x: Float[Tensor, "m d"], sizes: Sequence[int]) -> Float[Tensor, "m d"]:
        """Apply each expert to its group of rows of x; empty groups too, so that every expert has gradients."""
        count, dim, _ = self.gate_up.shape
        if all(size == sizes[0] for size in sizes):
            return _swiglu(x.view(count, sizes[0], dim), self.gate_up, self.down).flatten(0, 1)
        groups = zip(x.split(list(sizes)), self.gate_up.unbind(), self.down.unbind(), strict=True)
        return torch.cat([_swiglu(*group) for group in groups])  # (m, d)


def _swiglu(x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    gate, up = (x @ gate_up).chunk(2, dim=-1)
    return (F.silu(gate) * up) @ down


class Routing(NamedTuple):
    """The m assignments of tokens to experts, sorted by expert."""

    rows: Int[Tensor, " m"]  # index of the token
    gate: Float[Tensor, " m"]  # weight of the expert's output
    sizes: list[int]  # tokens of each expert
    loss: Float[Tensor, ""] | None = None  # auxiliary loss in training, times its weight


class RouterStats(NamedTuple):
    """Statistics of one forward pass of a mixture in training."""

    loss: Float[Tensor, ""]
    visits: tuple[int, ...]  # tokens of each expert
    tokens: int

    @property
    def utilisation(self) -> list[float]:
        """Fraction of the tokens that each expert processed."""
        return [n / max(1, self.tokens) for n in self.visits]


class MixtureOfExperts(nn.Module, ABC):
    """Tokens -> the sum of their experts' outputs, each times its gate; zero for tokens without an expert."""

    def __init__(self, settings: MoESettings, dim: int, hidden: int, depth: int = 1) -> None:
        super().__init__()
        self.settings = settings
        self.router = init_linear(nn.Linear(dim, settings.count, bias=False), NEARLY_UNIFORM)
        self.experts = ExpertWeights(settings.count, dim, hidden, depth)
        self.stats: list[RouterStats] | None = None  # of training forward passes inside `collect_router_stats`

    @property
    @abstractmethod
    def active(self) -> float:
        """Number of experts per token, on average."""

    @abstractmethod
    def route(self, x: Float[Tensor, "n d"], gates: Float[Tensor, "n count"]) -> Routing:
        """Choose experts from the tokens and their router probabilities."""

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        gates = self.router(x).float().softmax(-1)  # (n, count); in float32, as in Switch, section 2.4
        rows, gate, sizes, loss = self.route(x, gates)
        outputs = self.experts(x.index_select(0, rows), sizes) * gate[:, None]  # (m, d)
        if self.training and self.stats is not None:
            self.stats.append(RouterStats(gates.new_zeros(()) if loss is None else loss, tuple(sizes), len(x)))
        return torch.zeros_like(x).index_add(0, rows, outputs.to(x.dtype))  # (n, d)


def _routing(chosen: Tensor, gates: Tensor) -> Routing:
    """The routing of chosen (n, count) bool, the experts of each token. Reading the sizes synchronises the device."""
    expert, rows = chosen.t().nonzero(as_tuple=True)  # (m,) each, sorted by expert
    return Routing(rows, gates[rows, expert], chosen.sum(0).tolist())


class TokenChoice(MixtureOfExperts):
    """Each token goes to the `top_k` experts of its highest gates; experts have no capacity limit (arXiv 2101.03961).

    Several gates are normalised to sum to one. A single one stays the router's probability (Switch, eq. 2): a constant
    one would give the router no gradient.
    """

    @property
    def active(self) -> float:
        return self.settings.top_k

    def route(self, x: Float[Tensor, "n d"], gates: Float[Tensor, "n count"]) -> Routing:
        best = gates.topk(self.settings.top_k, dim=-1).indices  # (n, top_k)
        chosen = torch.zeros_like(gates, dtype=torch.bool).scatter(1, best, True)  # (n, count)
        kept = gates * chosen
        routing = _routing(chosen, kept / kept.sum(-1, keepdim=True) if self.settings.top_k > 1 else kept)
        learns = self.training and self.router.weight.requires_grad
        return routing._replace(loss=self._load_balancing_loss(gates, chosen)) if learns else routing

    def _load_balancing_loss(self, gates: Tensor, chosen: Tensor) -> Tensor:
        """weight * count * sum of f_i P_i (Switch, eq. 4-6): equal to the weight if all experts are used equally."""
        n = max(1, len(gates))
        f = chosen.float().sum(0) / (n * self.settings.top_k)  # (count,) fraction of the assignments
        p = gates.sum(0) / n  # (count,) mean probability
        return self.settings.load_balancing_weight * self.settings.count * (f * p).sum()


class ExpertChoice(MixtureOfExperts):
    """Each expert takes the tokens with its highest gates, all experts the same number (arXiv 2202.09368).

    The choice depends on all tokens of a batch, including later ones and other documents. This leak makes training
    losses too low. Outside training a predictor routes instead, as in Mixture-of-Depths (arXiv 2404.02258, section
    3.5): from each token alone it predicts whether an expert would choose it. It is trained alongside, on detached
    inputs. Set `evaluation` to "router" for the paper's leaking evaluation.
    """

    def __init__(self, settings: MoESettings, dim: int, hidden: int, depth: int = 1) -> None:
        super().__init__(settings, dim, hidden, depth)
        self.predictor = init_linear(nn.Linear(dim, settings.count), NEARLY_UNIFORM)
        self.evaluation: Literal["predictor", "router"] = settings.evaluation

    @property
    def active(self) -> float:
        return self.settings.capacity

    def predict(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n count"]:
        """Log-odds that an expert chooses a token."""
        return self.predictor(x.detach()).float()

    def route(self, x: Float[Tensor, "n d"], gates: Float[Tensor, "n count"]) -> Routing:
        if not self.training and self.evaluation == "predictor":
            return _routing(self.predict(x) > 0, gates)
        n, count = gates.shape
        k = min(n, max(1, round(self.settings.capacity * n / count)))
        gate, rows = gates.t().topk(k, dim=-1)  # (count, k) each
        routing = Routing(rows.flatten(), gate.flatten(), [k] * count)
        return routing._replace(loss=self._predictor_loss(x, rows)) if self.training else routing

    def _predictor_loss(self, x: Tensor, rows: Tensor) -> Tensor:
        """Binary cross-entropy of the predictor, the mean over tokens and experts."""
        logits = self.predict(x).t()  # (count, n)
        chosen = torch.zeros_like(logits).scatter(1, rows, 1.0)  # (count, n)
        return F.binary_cross_entropy_with_logits(logits, chosen, reduction="sum") / max(1, logits.numel())


def experts_of(model: nn.Module) -> dict[str, MixtureOfExperts]:
    """All mixtures of a model, by name `<layer>.<tower>`."""
    mixtures = {name: module for name, module in model.named_modules() if isinstance(module, MixtureOfExperts)}
    return {
        name.rpartition("layers.")[2].removesuffix(".ffn").replace(".towers", ""): module
        for name, module in mixtures.items()
    }


@contextmanager
def collect_router_stats(mixtures: Mapping[str, MixtureOfExperts]) -> Iterator[dict[str, RouterStats]]:
    """Statistics by name of the last training forward pass in the block; a mixture without one has no entry."""
    by_name: dict[str, RouterStats] = {}
    for mixture in mixtures.values():
        mixture.stats = []
    try:
        yield by_name
    finally:
        for name, mixture in mixtures.items():
            if mixture.stats:
                by_name[name] = mixture.stats[-1]
            mixture.stats = None
