"""The studies in docs/results/: their cards are whole, of suites that ship, and say what their figures say."""

import math
import re

import pytest
from runs import ROOT

from mot_lightning.analysis.suite.card import read_card
from mot_lightning.analysis.suite.settings import read_suite

CARDS = sorted(ROOT.glob("docs/results/*/card.yaml"))


@pytest.fixture(params=CARDS, ids=lambda path: path.parent.name)
def folder(request):
    return request.param.parent


def test_there_are_results():
    assert CARDS


def test_card_is_of_a_suite_that_ships(folder):
    card = read_card(folder / "card.yaml")
    suite = read_suite(ROOT / f"conf/suite/{card['suite']}.yaml")
    assert folder.name == suite.suite
    assert card["command"].startswith(f"python -m mot_lightning suite conf/suite/{suite.suite}.yaml")
    assert [claim["claim"] for claim in card["claims"]] == [claim.claim for claim in suite.claims]
    assert {figure["arm"] for figure in card["figures"] if not figure["yardstick"]} == {*suite.arms} - {suite.baseline}
    assert all(figure["seeds"] == len(suite.seeds) for figure in card["figures"] if not figure["yardstick"])
    assert re.fullmatch(r"[0-9a-f]{7,}", card["commit"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", str(card["date"]))


def test_verdicts_follow_from_the_intervals(folder):
    card = read_card(folder / "card.yaml")
    suite = read_suite(ROOT / f"conf/suite/{card['suite']}.yaml")
    for claim, judged in zip(suite.claims, card["claims"], strict=True):
        limit = 1.0 if isinstance(claim.bound, tuple) else claim.bound
        low, high = judged["low"], judged["high"]
        below, above = high < limit, low > limit
        holds, fails = (below, above) if claim.below is not None else (above, below)
        assert judged["verdict"] == ("holds" if holds else "does not hold" if fails else "cannot tell")


def test_report_has_the_figures_of_the_card(folder):
    report = (folder / "comparison.md").read_text(encoding="utf-8")
    card = read_card(folder / "card.yaml")
    assert f"`{card['command']}`" in report
    for claim in card["claims"]:
        value = f"> {claim['value']:.2f} |" if math.isinf(claim["high"]) else f"{claim['value']:.2f} ["
        assert f"| {claim['claim']} | {claim['verdict']} | {claim['quantity']} | {value}" in report
    for picture in re.findall(r"!\[.*?\]\((.+?)\)", report):
        assert (folder / picture).is_file()
