import pytest
import yaml
from recorded_runs import recorded_run

from mot_lightning.analysis.compare.compare import compare
from mot_lightning.analysis.compare.recorded import read_run
from mot_lightning.analysis.suite.card import KEYS, card, differences, read_card
from mot_lightning.analysis.suite.claim import Claim
from mot_lightning.analysis.suite.settings import Suite
from mot_lightning.analysis.suite.verdict import judge
from mot_lightning.errors import ConfigError

CLAIM = Claim("MoT gains", "mot", "image", below=1)
SUITE = Suite("s", {"dense": [], "mot": []}, "dense", [], [0.01, 0.02], sweep_steps=1, claims=[CLAIM])


def card_of(folder, slope=0.5, noise=0.004):
    runs = [
        read_run(recorded_run(folder / f"{slope}{arm}{seed}", arm, seed=seed, noise=noise,
                              slopes={"image": slope if arm == "mot" else 1.0},
                              towers={"all": ["image", "text"]} if arm == "dense" else None))
        for arm in ("dense", "mot") for seed in range(3)
    ]  # fmt: skip
    comparison = compare(runs)
    return card(SUITE, comparison, [judge(CLAIM, comparison)], {"x": "why"}, "suite s.yaml")


def test_card_is_plain_and_read_again(tmp_path):
    content = card_of(tmp_path)
    assert tuple(content) == KEYS
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(content))
    assert read_card(tmp_path / "card.yaml") == content
    assert content["claims"][0]["verdict"] == "holds"
    assert content["claims"][0]["value"] == pytest.approx(0.5, abs=0.02)
    assert content["failures"] == {"x": "why"}


def test_same_figures_agree_and_others_do_not(tmp_path):
    content = card_of(tmp_path)
    assert differences(content, content) == []
    lines = differences(content, card_of(tmp_path, slope=1.5))
    assert any(line.startswith("MoT gains: does not hold, where the card says holds") for line in lines)
    assert any(line.startswith("s(mot, image) is 1.") for line in lines)
    moved = [{**figure, "value": 9.0} if figure["yardstick"] else figure for figure in content["figures"]]
    assert differences(content, {**content, "figures": moved}) == []


def test_a_bound_of_one_seed_has_no_interval_to_be_in():
    figure = {
        "arm": "mot",
        "size": "32x2",
        "modality": "image",
        "yardstick": False,
        "value": 0.2,
        "low": 0.0,
        "high": None,
    }
    assert differences({"claims": [], "figures": [figure]}, {"claims": [], "figures": [{**figure, "value": 9.0}]}) == []


def test_what_is_no_card_is_refused(tmp_path):
    (tmp_path / "card.yaml").write_text("suite: s")
    with pytest.raises(ConfigError, match="has no command, wanted the card of a suite"):
        read_card(tmp_path / "card.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_card(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff\xfe", "cannot be read"),
        (b"- suite", "holds a list, wanted the card of a suite"),
        (b"", "holds a NoneType, wanted the card of a suite"),
        (
            yaml.safe_dump({**dict.fromkeys(KEYS), "claims": [{"claim": "c"}]}).encode(),
            "claims or figures without 'verdict'",
        ),
        (yaml.safe_dump({**dict.fromkeys(KEYS), "claims": 5}).encode(), "wanted the card of a suite"),
    ],
)
def test_damaged_card_is_refused_before_anything_runs(tmp_path, text, message):
    (tmp_path / "card.yaml").write_bytes(text)
    with pytest.raises(ConfigError, match=message):
        read_card(tmp_path / "card.yaml")
