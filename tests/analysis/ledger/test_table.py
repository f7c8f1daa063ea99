"""Tables and remarks of the ledger."""

import numpy as np
from conftest import make_document, make_model

from mot_lightning.analysis.ledger import parameter_groups, step_cost
from mot_lightning.analysis.ledger.ledger import Ledger
from mot_lightning.analysis.ledger.table import remarks, short, sums_of, tables_of, time_lines
from mot_lightning.media.table import aligned
from mot_lightning.sequence import Tokens, pack

DENSE = {"all": ["text", "image", "speech"]}
LARGE = {"text": Tokens(vocab_size=65_536), "image": Tokens(latent_dim=3, length=4), "speech": Tokens(vocab_size=9)}


def ledger_of(recomputes=False, **settings):
    model = make_model("additive", **settings)
    document = make_document(np.random.default_rng(0), ["text", "image", "speech"])
    step = step_cost(model, [pack([document], model.grammar, 64)])
    return Ledger(parameter_groups(model), {"image": 2}, step, {"weights": 5_000_000, "optimizer": None}, recomputes)


def test_numbers_have_three_digits_and_a_unit():
    assert [short(x) for x in (7, 999, 71_012, 2.5e9, 999_999)] == ["7", "999", "71.0k", "2.5G", "1.0M"]


def test_tables_fit_a_terminal_and_say_all():
    ledger = ledger_of()
    lines = [line for rows in tables_of(ledger) for line in aligned(rows)]
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    assert f"parameters in all: {ledger.parameters:,}" in sums_of(ledger)
    assert {"weights 5.0", "optimizer unknown"} <= {" ".join(line.split()) for line in lines}
    assert all(f"{cost.parameters:,}" in text for cost in ledger.step.by_modality.values())


def test_remarks_say_where_few_weights_are_untied_and_where_embeddings_dominate():
    assert remarks(ledger_of()) == []
    few = remarks(ledger_of(untie=["norm"]))
    assert len(few) == 1
    assert "are untied" in few[0]
    mot, dense = (remarks(ledger_of(tokens=LARGE, towers=towers)) for towers in ({}, DENSE))
    assert ["untied" in line for line in mot] == [True, False]
    assert len(dense) == 1
    assert "embeddings and heads are 100 %" in dense[0]
    assert any("again" in line for line in remarks(ledger_of(recomputes=True)))


def test_mfu_is_the_time_at_the_peak_over_the_time_taken():
    assert time_lines(flops=2e9, peak=1e12, seconds=None) == ["a step at the peak of 1.0T FLOPs/s: 2 ms"]
    assert time_lines(flops=2e9, peak=1e12, seconds=0.004)[1].endswith("4 ms, MFU 50 %")
