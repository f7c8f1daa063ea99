"""A feed-forward network of experts, for wherever `SwiGLU` stands: which tokens visit which expert, learned.

Knows vectors; which tower has experts is the settings' business, and what becomes of their loss the trainer's.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Experts:
    """Experts in place of one tower's feed-forward network.

    Attributes:
        count: how many.
        choice: "expert" has every expert choose its tokens (MoE-4x of the MoT paper; arXiv 2202.09368), which sees
            the future while training; "token" has every token choose its experts (arXiv 2101.03961).
        capacity: experts that a token visits on average, by expert choice; 1 costs what one network costs.
        top_k: experts that a token visits, by token choice.
        load_weight: of the loss that spreads tokens over experts, by token choice.
        ffn_dim: hidden width of each expert; 0 takes the backbone's.
        evaluation: what routes expert choice outside training: "predictor" sees no future and may generate, "router"
            chooses as in training and leaks.
    """

    count: int = 4
    choice: Literal["expert", "token"] = "expert"
    capacity: float = 1.0
    top_k: int = 1
    load_weight: float = 0.01
    ffn_dim: int = 0
    evaluation: Literal["predictor", "router"] = "predictor"

    def __post_init__(self) -> None:
        wanted = {
            "count": (self.count >= 1, "at least 1"),
            "choice": (self.choice in ("expert", "token"), "'expert' or 'token'"),
            "capacity": (0 < self.capacity <= self.count, f"above 0, and at most count {self.count}"),
            "top_k": (1 <= self.top_k <= self.count, f"from 1 to count {self.count}"),
            "load_weight": (self.load_weight >= 0, "0 or more"),
            "ffn_dim": (self.ffn_dim >= 0, "0 or more"),
            "evaluation": (self.evaluation in ("predictor", "router"), "'predictor' or 'router'"),
        }
        for name, (fits, what) in wanted.items():
            if not fits:
                raise ValueError(f"backbone.experts.{name} is {getattr(self, name)!r}, wanted {what}")

    def build(self, dim: int, ffn_dim: int) -> "MixtureOfExperts":
        kind = ExpertChoice if self.choice == "expert" else TokenChoice
        return kind(self, dim, self.ffn_dim or ffn_dim)


def experts_by_tower(
    experts: Mapping[str, Experts], towers: Mapping[str, Sequence[str]], modalities: Sequence[str]
) -> dict[tuple[str, ...], Experts]:
    """Settings by the tower's sorted modalities; without `towers`, each modality's name is its tower's.

    Raises:
        ValueError: there is no such tower.
    """
    members = {name: tuple(sorted(own)) for name, own in towers.items() if own}
    members = members or {name: (name,) for name in modalities}
    for name in experts:
        if name not in members:
            raise ValueError(f"backbone.experts has {name!r}, wanted towers among {', '.join(sorted(members))}")
    return {members[name]: own for name, own in experts.items()}


class Bank(nn.Module):
    """`count` SwiGLUs of one shape, in two tensors."""

    def __init__(self, count: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.gate_up = nn.Parameter(dim**-0.5 * torch.randn(count, dim, 2 * hidden))
        self.down = nn.Parameter(hidden**-0.5 * torch.randn(count, hidden, dim))

    def forward(self, x: Tensor, sizes: Sequence[int]) -> Tensor:
        """x (m, d), grouped by expert, each group through its own; an empty one too, for its gradients."""
        count, dim, _ = self.gate_up.shape
        if all(size == sizes[0] for size in sizes):
            return _swiglu(x.view(count, sizes[0], dim), self.gate_up, self.down).flatten(0, 1)
        groups = zip(x.split(list(sizes)), self.gate_up.unbind(), self.down.unbind(), strict=True)
        return torch.cat([_swiglu(*group) for group in groups])  # (m, d)


def _swiglu(x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    gate, up = (x @ gate_up).chunk(2, dim=-1)
    return (F.silu(gate) * up) @ down


class Visits(NamedTuple):
    """Which tokens pass which experts, m visits grouped by expert."""

    rows: Tensor  # (m,) the token
    gate: Tensor  # (m,) weight of what the expert answers
    sizes: list[int]  # visits of each expert
    loss: Tensor | None = None  # () that routing asks for while training, weighted


class Report(NamedTuple):
    """What a mixture's last forward in training leaves for the trainer."""

    loss: Tensor  # ()
    visits: tuple[int, ...]  # of each expert
    tokens: int

    @property
    def utilisation(self) -> list[float]:
        """Share of the tokens that visited each expert."""
        return [n / max(1, self.tokens) for n in self.visits]


class MixtureOfExperts(nn.Module, ABC):
    """Tokens (n, d) -> (n, d): the gated sum of the experts that each one visits; zero where it visits none."""

    def __init__(self, settings: Experts, dim: int, hidden: int) -> None:
        super().__init__()
        self.settings = settings
        self.router = nn.Linear(dim, settings.count, bias=False)
        self.experts = Bank(settings.count, dim, hidden)
        self.report: Report | None = None

    @property
    @abstractmethod
    def active(self) -> float:
        """Experts that a token passes, on average."""

    @abstractmethod
    def route(self, x: Tensor, gates: Tensor) -> Visits:
        """Choose, given the tokens (n, d) and their softmax over experts (n, count)."""

    def forward(self, x: Tensor) -> Tensor:
        gates = self.router(x).float().softmax(-1)  # (n, count); in full precision, as in Switch, section 2.4
        rows, gate, sizes, loss = self.route(x, gates)
        answers = self.experts(x.index_select(0, rows), sizes) * gate[:, None]  # (m, d)
        if self.training:
            self.report = Report(gates.new_zeros(()) if loss is None else loss, tuple(sizes), len(x))
        return torch.zeros_like(x).index_add(0, rows, answers.to(x.dtype))  # (n, d)

    def take_report(self) -> Report | None:
        """The last forward's report, once: it holds the graph of its loss."""
        report, self.report = self.report, None
        return report

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "report": None}  # a graph can be neither copied nor stored


def _visits(chosen: Tensor, gates: Tensor) -> Visits:
    """From chosen (n, count) bool, one set of experts per token. How many visit each is asked of the device."""
    expert, rows = chosen.t().nonzero(as_tuple=True)  # (m,) each, sorted by expert
    return Visits(rows, gates[rows, expert], chosen.sum(0).tolist())


class TokenChoice(MixtureOfExperts):
    """Each token goes to the `top_k` experts of its highest gates; no expert is ever full (arXiv 2101.03961).

    Several gates are normalised to sum to one. A single one stays the router's probability (Switch, eq. 2): at one,
    it would teach the router nothing.
    """

    @property
    def active(self) -> float:
        return self.settings.top_k

    def route(self, x: Tensor, gates: Tensor) -> Visits:
        best = gates.topk(self.settings.top_k, dim=-1).indices  # (n, top_k)
        chosen = torch.zeros_like(gates, dtype=torch.bool).scatter(1, best, True)  # (n, count)
        kept = gates * chosen
        visits = _visits(chosen, kept / kept.sum(-1, keepdim=True) if self.settings.top_k > 1 else kept)
        return visits._replace(loss=self._load_loss(gates, chosen)) if self.training else visits

    def _load_loss(self, gates: Tensor, chosen: Tensor) -> Tensor:
        """weight * count * sum of f_i P_i (Switch, eq. 4-6): the weight itself where all experts are used alike."""
        n = max(1, len(gates))
        f = chosen.float().sum(0) / (n * self.settings.top_k)  # (count,) share of the visits
        p = gates.sum(0) / n  # (count,) mean probability
        return self.settings.load_weight * self.settings.count * (f * p).sum()


class ExpertChoice(MixtureOfExperts):
    """Each expert takes the tokens that want it most, all experts equally many (arXiv 2202.09368).

    It sees the future: whether an expert takes a token depends on all tokens that it is given, later ones and other
    documents' among them, so losses of training are too low by what leaks. Outside training a predictor routes instead,
    as in Mixture-of-Depths (arXiv 2404.02258, section 3.5): from each token alone it says whether an expert would have
    chosen it. It learns beside, from inputs that pass no gradient back. Set `evaluation` to "router" for the paper's
    leaking evaluation.
    """

    def __init__(self, settings: Experts, dim: int, hidden: int) -> None:
        super().__init__(settings, dim, hidden)
        self.predictor = nn.Linear(dim, settings.count)
        self.evaluation: Literal["predictor", "router"] = settings.evaluation

    @property
    def active(self) -> float:
        return self.settings.capacity

    def predict(self, x: Tensor) -> Tensor:
        """Log-odds (n, count) that an expert chooses a token."""
        return self.predictor(x.detach()).float()

    def route(self, x: Tensor, gates: Tensor) -> Visits:
        if not self.training and self.evaluation == "predictor":
            return _visits(self.predict(x) > 0, gates)
        n, count = gates.shape
        k = min(n, max(1, round(self.settings.capacity * n / count)))
        gate, rows = gates.t().topk(k, dim=-1)  # (count, k) each
        visits = Visits(rows.flatten(), gate.flatten(), [k] * count)
        return visits._replace(loss=self._predictor_loss(x, rows)) if self.training else visits

    def _predictor_loss(self, x: Tensor, rows: Tensor) -> Tensor:
        """Binary cross-entropy, the mean over tokens and experts."""
        said = self.predict(x).t()  # (count, n)
        chosen = torch.zeros_like(said).scatter(1, rows, 1.0)
        return F.binary_cross_entropy_with_logits(said, chosen, reduction="sum") / max(1, said.numel())


def experts_of(model: nn.Module) -> dict[str, MixtureOfExperts]:
    """All mixtures of a model, by `layer.tower`."""
    found = {name: module for name, module in model.named_modules() if isinstance(module, MixtureOfExperts)}
    return {
        name.rpartition("layers.")[2].removesuffix(".ffn").replace(".towers", ""): module
        for name, module in found.items()
    }
