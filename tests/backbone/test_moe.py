"""Mixtures of experts: routing, causality, cost, and the router stats that the trainer logs."""

import copy

import numpy as np
import pytest
import torch
import yaml
from conftest import make_document, make_model
from properties import (
    assert_cached_equals_packed,
    assert_documents_do_not_mix,
    assert_no_token_sees_its_future,
    total_loss,
)
from runs import TINY, rows, run, weights

from mot_lightning.analysis.ledger import costs
from mot_lightning.backbone import MoESettings
from mot_lightning.backbone.feed_forward import SwiGLU
from mot_lightning.backbone.moe import collect_router_stats, experts_of
from mot_lightning.backbone.towers import experts_by_tower
from mot_lightning.sequence import pack

DIM, HIDDEN = 16, 24
ALL = {"all": ["text", "image", "speech"]}
BY_EXPERT, BY_TOKEN = MoESettings(choice="expert"), MoESettings(choice="token", top_k=2)
LEAKING = MoESettings(choice="expert", evaluation="router")
every_choice = pytest.mark.parametrize("choice", ["expert", "token"])


def build(seed=0, **settings):
    torch.manual_seed(seed)
    return MoESettings(**settings).build(DIM, HIDDEN)


def tokens(n, seed=0):
    return torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed))


def routed(mixture, x):
    """Output and router stats of a mixture in training."""
    with collect_router_stats({"it": mixture}) as stats:
        y = mixture(x)
    return y, stats["it"]


def one_by_one(mixture, x, chosen, gates):
    """Reference: for each token, the gate-weighted sum of its experts' SwiGLU outputs."""
    out = torch.zeros_like(x)
    for i, e in chosen.nonzero().tolist():
        expert = SwiGLU(DIM, HIDDEN)
        expert.gate.weight.data, expert.up.weight.data = mixture.experts.gate_up[e].t().chunk(2)
        expert.down.weight.data = mixture.experts.down[e].t()
        out[i] += gates[i, e] * expert(x[i])
    return out


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"count": 0}, "backbone.experts.count is 0, wanted at least 1"),
        ({"choice": "mine"}, "backbone.experts.choice is 'mine', wanted 'expert' or 'token'"),
        ({"capacity": 0.0}, "backbone.experts.capacity is 0.0, wanted above 0, and at most count 4"),
        ({"capacity": 4.5}, "backbone.experts.capacity is 4.5, wanted above 0, and at most count 4"),
        ({"top_k": 0}, "backbone.experts.top_k is 0, wanted from 1 to count 4"),
        ({"top_k": 3, "count": 2}, "backbone.experts.top_k is 3, wanted from 1 to count 2"),
        ({"load_balancing_weight": -1.0}, "backbone.experts.load_balancing_weight is -1.0, wanted 0 or more"),
        ({"ffn_dim": -1}, "backbone.experts.ffn_dim is -1, wanted 0 or more"),
        ({"evaluation": "both"}, "backbone.experts.evaluation is 'both', wanted 'predictor' or 'router'"),
    ],
)
def test_invalid_settings_raise_a_one_line_error(wrong, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (the whole message is compared)
        MoESettings(**wrong)
    assert str(refused.value) == message


def test_experts_are_assigned_to_towers_by_name():
    assert experts_by_tower({"text": BY_TOKEN}, {}, ["text", "image"]) == {("text",): BY_TOKEN}
    two = {"words": ["text"], "rest": ["speech", "image"], "none": []}
    assert experts_by_tower({"rest": BY_TOKEN}, two, ALL["all"]) == {("image", "speech"): BY_TOKEN}
    for towers, name, known in ((two, "image", "rest, words"), (two, "none", "rest, words"), ({}, "all", "text")):
        with pytest.raises(ValueError, match=f"backbone.experts has '{name}', wanted towers among {known}"):
            experts_by_tower({name: BY_TOKEN}, towers, ["text"])


@every_choice
@pytest.mark.parametrize("training", [True, False])
def test_single_expert_equals_a_dense_feed_forward(choice, training):
    mixture = build(count=1, choice=choice, evaluation="router").train(training)
    x = tokens(7)
    alone = one_by_one(mixture, x, torch.ones(7, 1), torch.ones(7, 1))
    torch.testing.assert_close(mixture(x), alone)


@pytest.mark.parametrize("n", [1, 3, 8, 33])
@pytest.mark.parametrize("capacity", [0.5, 1.0, 2.0, 4.0])
def test_expert_choice_gives_every_expert_the_same_number_of_tokens(n, capacity):
    mixture, x = build(capacity=capacity), tokens(n)
    gates = mixture.router(x).softmax(-1)
    k = min(n, max(1, round(capacity * n / 4)))
    chosen = torch.zeros(n, 4)
    for e in range(4):
        chosen[gates[:, e].argsort(descending=True)[:k], e] = 1
    y, stats = routed(mixture, x)
    torch.testing.assert_close(y, one_by_one(mixture, x, chosen, gates))
    assert stats.visits == (k,) * 4
    assert stats.utilisation == [k / n] * 4


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_token_choice_routes_to_the_top_k_gates(top_k):
    mixture, x = build(choice="token", top_k=top_k), tokens(9)
    gates = mixture.router(x).softmax(-1)
    chosen = (gates >= gates.sort(-1, descending=True).values[:, top_k - 1 : top_k]).float()
    kept = gates * chosen / (gates * chosen).sum(-1, keepdim=True) if top_k > 1 else gates
    y, stats = routed(mixture, x)
    torch.testing.assert_close(y, one_by_one(mixture, x, chosen, kept))
    assert sum(stats.visits) == 9 * top_k
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(mixture(x)[order], mixture(x[order]))


def test_predictor_can_route_a_token_to_no_or_all_experts():
    mixture, x = build().eval(), tokens(5)
    mixture.predictor.weight.data.zero_()
    mixture.predictor.bias.data.fill_(-1.0)
    assert not mixture(x).any()
    mixture.predictor.bias.data.fill_(1.0)
    gates = mixture.router(x).softmax(-1)
    torch.testing.assert_close(mixture(x), one_by_one(mixture, x, torch.ones(5, 4), gates))


@torch.no_grad()
def test_only_expert_choice_routing_leaks_the_future():
    """Under expert choice, changing the last token changes earlier ones in training and in evaluation by router."""
    x = tokens(16)
    other = torch.cat([x[:-1], tokens(1, seed=3)])

    def earlier_change(mixture, training):
        mixture.train(training)
        return float((mixture(x)[:-1] - mixture(other)[:-1]).abs().max())

    by_expert, leaking, by_token = build(), build(evaluation="router"), build(choice="token", top_k=2)
    assert earlier_change(by_expert, True) > 1e-2
    assert earlier_change(leaking, False) > 1e-2
    assert earlier_change(by_expert, False) < 1e-6
    assert earlier_change(by_token, True) < 1e-6
    assert earlier_change(by_token, False) < 1e-6
    by_expert.evaluation = "router"  # a trained model may be evaluated either way
    assert earlier_change(by_expert, False) > 1e-2


@pytest.mark.parametrize("experts", [BY_EXPERT, BY_TOKEN], ids=["predictor", "token"])
@pytest.mark.parametrize("towers", [None, ALL], ids=["separate", "dense"])
def test_moe_model_is_causal_and_cached_equals_packed(experts, towers):
    model = make_model(towers=towers, experts={"all" if towers else "text": experts})
    assert len(experts_of(model)) == 2  # layers
    rng = np.random.default_rng(0)
    documents = [make_document(rng, ["text", "image", "speech"]) for _ in range(3)]
    for segment, token in ((0, 0), (1, 2), (2, 0)):
        assert_no_token_sees_its_future(model, documents[0], segment, token)
    assert_documents_do_not_mix(model, documents, 1, 0, 0)
    for one_at_a_time in (True, False):
        assert_cached_equals_packed(model, documents, one_at_a_time)


def test_router_evaluation_breaks_causality():
    model = make_model(towers=ALL, experts={"all": LEAKING})
    documents = [make_document(np.random.default_rng(i), ["text", "image", "speech"]) for i in range(3)]

    def holds(check, *place):
        try:
            check(model, *place)
        except AssertionError:
            return False
        return True

    # at some place: not every change moves a token across an expert's threshold
    places = [(document, segment, 0) for document in documents for segment in range(3)]
    assert not all(holds(assert_no_token_sees_its_future, *place) for place in places)
    assert not all(holds(assert_documents_do_not_mix, documents, 1, segment, 0) for segment in range(3))


def test_predictor_learns_the_router_choices():
    """On held-out tokens; always predicting False would have an accuracy of 75%, but zero recall."""
    mixture = build()
    optimizer = torch.optim.Adam(mixture.predictor.parameters(), lr=0.03)
    for step in range(150):
        _, stats = routed(mixture, tokens(128, seed=1 + step))
        optimizer.zero_grad()
        stats.loss.backward()
        optimizer.step()
    x = tokens(256)
    predicted = mixture.predict(x) > 0
    chosen = torch.zeros(256, 4).scatter(0, mixture.router(x).softmax(-1).topk(64, dim=0).indices, 1).bool()
    assert (predicted == chosen).float().mean() > 0.85
    assert predicted[chosen].float().mean() > 0.7
    assert chosen[predicted].float().mean() > 0.7


def test_predictor_loss_trains_only_the_predictor():
    mixture, x = build(), tokens(12).requires_grad_()
    routed(mixture, x)[1].loss.backward()
    assert x.grad is None
    assert [name for name, p in mixture.named_parameters() if p.grad is not None] == [
        "predictor.weight",
        "predictor.bias",
    ]


def test_load_balancing_loss_grows_from_balance_to_collapse():
    mixture, x = build(choice="token", load_balancing_weight=0.3), torch.eye(DIM)[:4].repeat(5, 1)
    mixture.router.weight.data.zero_()
    mixture.router.weight.data[:, :4] = 3 * torch.eye(4)
    balanced = routed(mixture, x)[1]
    assert balanced.utilisation == [0.25] * 4
    assert balanced.loss.item() == pytest.approx(0.3)
    mixture.router.weight.data[0, :4] += 50  # all tokens to expert 0
    collapsed = routed(mixture, x)[1]
    assert collapsed.utilisation == [1, 0, 0, 0]
    assert collapsed.loss.item() == pytest.approx(0.3 * 4)


def test_training_on_the_load_balancing_loss_undoes_a_collapse():
    mixture, x = build(choice="token", load_balancing_weight=1.0), tokens(256)
    common = x[:, :1].abs()  # a direction that all tokens share
    x = torch.cat([common, x[:, 1:]], 1)
    mixture.router.weight.data[0, 0] += 4
    before = routed(mixture, x)[1]
    optimizer = torch.optim.Adam(mixture.router.parameters(), lr=0.03)
    for _ in range(100):
        after = routed(mixture, x)[1]
        optimizer.zero_grad()
        after.loss.backward()
        optimizer.step()
    assert max(before.utilisation) > 0.8
    assert max(after.utilisation) < 0.4
    assert after.loss < before.loss


@every_choice
@pytest.mark.parametrize("n", [0, 1, 2])
def test_gradients_are_finite_for_zero_one_and_two_tokens(choice, n):
    mixture = build(choice=choice)
    y, stats = routed(mixture, tokens(n))
    (y.sum() + stats.loss).backward()
    for parameter in mixture.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert n or not parameter.grad.any()


@every_choice
def test_every_parameter_gets_a_gradient(choice):
    mixture = build(choice=choice)
    y, stats = routed(mixture, tokens(32))
    (y.square().sum() + stats.loss).backward()
    assert all(parameter.grad.any() for parameter in mixture.parameters())


@every_choice
def test_mixture_can_be_deep_copied_after_a_forward(choice):
    mixture = build(choice=choice)
    mixture(tokens(8))  # keeps no stats outside of `collect_router_stats`
    assert torch.equal(copy.deepcopy(mixture)(tokens(8)), mixture(tokens(8)))
    assert routed(mixture, tokens(8))[1].loss.requires_grad
    assert torch.equal(copy.deepcopy(mixture)(tokens(8)), mixture(tokens(8)))


@every_choice
def test_router_stats_cover_only_training_forwards_while_collecting(choice):
    seen, unseen, evaluated = build(choice=choice), build(choice=choice), build(choice=choice).eval()
    seen(tokens(5))
    with collect_router_stats({"seen": seen, "unseen": unseen, "evaluated": evaluated}) as stats:
        seen(tokens(8))
        evaluated(tokens(8))
        assert not stats  # filled on exit
    assert {name: one.tokens for name, one in stats.items()} == {"seen": 8}
    assert [mixture.stats for mixture in (seen, unseen, evaluated)] == [None] * 3
    with pytest.raises(RuntimeError, match="planned"), collect_router_stats({"seen": seen}):
        raise RuntimeError("planned")
    assert seen.stats is None


@every_choice
def test_output_dtype_follows_the_input_dtype(choice):
    mixture, x = build(choice=choice), tokens(12)
    exact = mixture(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = mixture(x)
    assert mixed.dtype == torch.float32
    half = mixture.bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert (mixed - exact).abs().mean() < 0.1 * exact.abs().mean()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # from Dynamo at graph breaks
@pytest.mark.skipif(torch.__version__ < "2.12", reason="PyTorch 2.11 loses named tuples where a graph breaks")
@every_choice
def test_compiled_mixture_equals_eager(choice):
    mixture, x = build(choice=choice), tokens(12)
    exact, stats = routed(mixture, x)
    torch._dynamo.reset()
    compiled = torch.compile(mixture, backend="aot_eager", dynamic=True)
    with collect_router_stats({"it": mixture}) as collected:
        torch.testing.assert_close(compiled(x), exact)
    torch.testing.assert_close(collected["it"].loss, stats.loss)
    torch.testing.assert_close(compiled(tokens(20)), mixture(tokens(20)))


def nominal(model, batch):
    return {name: (cost.parameters, cost.flops) for name, cost in costs(model, batch).items()}


@pytest.mark.parametrize(
    ("experts", "visited"),
    [(BY_EXPERT, 1), (LEAKING, 1), (BY_TOKEN, 2), (MoESettings(count=8, capacity=2.0), 2)],
    ids=["predictor", "router", "token", "eight"],
)
def test_ledger_counts_the_experts_per_token(experts, visited):
    """Costs on top of the dense model: additional experts, the router and the predictor."""
    dense, model = make_model(towers=ALL), make_model(towers=ALL, experts={"all": experts})
    batch = pack([make_document(np.random.default_rng(0), ["text", "image", "speech"])], model.grammar, 64)
    dim, hidden, depth = 32, 64, 2
    network, heads = 3 * dim * hidden, dim * experts.count
    predictor = heads + experts.count if experts.choice == "expert" else 0
    runs_predictor = experts.choice == "expert" and experts.evaluation == "predictor"
    before, after = nominal(dense, batch), nominal(model, batch)
    for name in before:
        parameters, flops = (b - a for a, b in zip(before[name], after[name], strict=True))
        assert parameters == depth * ((visited - 1) * network + heads + predictor)
        assert flops == pytest.approx(2 * depth * ((visited - 1) * network + heads + runs_predictor * heads))


@pytest.mark.parametrize("experts", [BY_EXPERT, BY_TOKEN], ids=["expert", "token"])
def test_tower_without_tokens_has_zero_gradients(experts):
    model = make_model(experts={"speech": experts}).train()
    batch = pack([make_document(np.random.default_rng(0), ["text", "image"])], model.grammar, 64)
    mixtures = experts_of(model)
    with collect_router_stats(mixtures) as stats:
        loss = total_loss(model, batch)
    assert stats.keys() == mixtures.keys()
    sum((one.loss for one in stats.values()), start=loss).backward()
    for name, mixture in mixtures.items():
        assert stats[name].tokens == 0
        assert all(p.grad is not None and not p.grad.any() for p in mixture.parameters())


@pytest.mark.parametrize(
    ("towers", "experts", "expected"),
    [
        (ALL, {"all": {"count": 4, "choice": "expert"}}, {"0.0": 4}),
        pytest.param(
            {},
            {"text": {"count": 3, "choice": "token", "top_k": 2}, "image": {"count": 2}},
            {"0.0": 2, "0.2": 3},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["moe_4x", "inside_towers"],
)
def test_fit_with_experts_logs_expert_utilisation(tmp_path, towers, experts, expected):
    config = tmp_path / "moe.yaml"
    config.write_text(yaml.safe_dump({"model": {"backbone": {"towers": towers, "experts": experts}}}))
    arguments = ["--trainer.max_steps=2", "--trainer.val_check_interval=2", "--report.prompts=1", "--samples.prompts=1"]
    assert run(tmp_path, "fit", f"--config={config}", *TINY, *arguments) == 0
    logged = rows(tmp_path / "default/0")
    for name, count in expected.items():
        for step in ("1", "2"):
            (row,) = [row for row in logged if row["step"] == step and f"train/experts/{name}/0" in row]
            shares = [float(row[f"train/experts/{name}/{i}"]) for i in range(count)]
            assert sum(shares) == pytest.approx(2 if name == "0.2" else 1, abs=0.05)
    trained = weights(tmp_path / "default/0")
    assert any("ffn.experts.gate_up" in name for name in trained)


def test_fit_without_experts_logs_no_expert_metrics(trained):
    assert not any("experts" in name for row in rows(trained) for name in row)


def test_invalid_experts_config_exits_with_a_one_line_error(tmp_path, capsys):
    for experts, message in (
        ("{all: {count: 2}}", "backbone.experts has 'all', wanted towers among image, speech, text"),
        ("{text: {count: 0}}", "backbone.experts.count is 0, wanted at least 1"),
    ):
        assert run(tmp_path, "fit", *TINY, f"--model.backbone.experts={experts}") == 2
        assert capsys.readouterr().err.strip() == f"error: {message}"
