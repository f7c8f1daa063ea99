import pytest
from recorded_runs import recorded_run

from mot_lightning.analysis.compare.compare import compare
from mot_lightning.analysis.compare.recorded import read_run
from mot_lightning.analysis.suite.claim import Claim
from mot_lightning.analysis.suite.verdict import judge, table_of

TOWERS = {"all": ["image", "text"]}
SLOPES = {"dense": {}, "mot": {"image": 0.4, "text": 0.9}, "ffn": {"image": 0.7, "text": 0.9}}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    runs = [
        recorded_run(folder / f"{arm}{seed}", arm, seed=seed, noise=0.004, slopes=slopes,
                     towers=TOWERS if arm == "dense" else None)
        for arm, slopes in SLOPES.items() for seed in range(3)
    ]  # fmt: skip
    return compare([read_run(run) for run in [*runs, recorded_run(folder / "bad", "bad", scale=3.0)]])


def verdict(comparison, arm, modality, **bound):
    return judge(Claim("c", arm, modality, **bound), comparison).verdict


def test_claims_with_a_number(comparison):
    assert verdict(comparison, "mot", "image", below=1) == "holds"
    assert verdict(comparison, "mot", "image", below=0.3) == "does not hold"
    assert verdict(comparison, "mot", "image", above=0.3) == "holds"
    assert verdict(comparison, "mot", "image", above=1) == "does not hold"


def test_claims_between_arms_and_modalities(comparison):
    assert verdict(comparison, "mot", "image", below={"modality": "text"}) == "holds"
    assert verdict(comparison, "mot", "image", below={"arm": "ffn"}) == "holds"
    assert verdict(comparison, "ffn", "image", below={"arm": "mot"}) == "does not hold"
    assert verdict(comparison, "mot", "text", below={"arm": "ffn"}) == "cannot tell"
    assert verdict(comparison, "mot", "image", below={"arm": "dense"}) == "holds"
    assert verdict(comparison, "dense", "image", above={"arm": "mot"}) == "holds"


def test_lower_bound_never_shows_that_s_is_low(comparison):
    assert verdict(comparison, "bad", "image", above=1) == "cannot tell"  # of one seed
    assert verdict(comparison, "bad", "image", below=100) == "cannot tell"
    assert "> 1.28" in table_of([judge(Claim("c", "bad", "image", below=100), comparison)])[1]


@pytest.mark.parametrize(
    ("slopes", "below", "above"),
    [
        ({"image": 9.0}, "does not hold", "holds"),  # of all seeds a lower bound above 1
        ({"image": 0.001}, "holds", "cannot tell"),  # an upper bound below .05
    ],
)
def test_bounds_of_all_seeds_tell_on_their_side_alone(tmp_path, slopes, below, above):
    arms = {"dense": {"towers": TOWERS}, "mot": {"slopes": slopes}, "same": {"slopes": slopes}}
    runs = [recorded_run(tmp_path / f"{a}{seed}", a, seed, **arms[a]) for a in arms for seed in range(3)]
    comparison = compare([read_run(run) for run in runs])
    assert verdict(comparison, "mot", "image", below=1.2) == below
    assert verdict(comparison, "mot", "image", above=0.01) == above
    inverse = "above" if below == "holds" else "below"
    assert verdict(comparison, "dense", "image", **{inverse: {"arm": "mot"}}) == "holds"
    assert verdict(comparison, "mot", "image", below={"arm": "same"}) == "cannot tell"


def test_what_has_no_runs_cannot_be_told(comparison):
    judged = judge(Claim("c", "moe", "image", below=1), comparison)
    assert (judged.verdict, judged.estimate) == ("cannot tell", None)
    assert verdict(comparison, "mot", "speech", below=1) == "cannot tell"


def test_a_claim_is_judged_at_its_size(tmp_path):
    """MoT needs .4 of dense's steps at width 32, and as many as dense at width 64."""
    runs = [
        recorded_run(tmp_path / f"{arm}{seed}{dim}", arm, seed=seed, noise=0.004, dim=dim,
                     slopes={"image": 0.4 if (arm, dim) == ("mot", 32) else 1.0},
                     towers=TOWERS if arm == "dense" else None)
        for arm in ("dense", "mot") for seed in range(3) for dim in (32, 64)
    ]  # fmt: skip
    comparison = compare([read_run(run) for run in runs])
    claim = Claim("c", "mot", "image", size="small", below=0.8)
    small, large = (judge(claim, comparison, f"{dim}x2") for dim in (32, 64))
    assert (small.verdict, large.verdict) == ("holds", "does not hold")
    assert small.quantity == "s(mot, image) at small"
    assert judge(claim, comparison, "small").estimate is None  # of which no run has finished
    bound = {"arm": "dense", "modality": "image"}
    assert judge(Claim("c", "mot", "image", size="large", above=bound), comparison, "64x2").verdict == "cannot tell"
