"""Parameters by their place in a model."""

from conftest import make_model

from mot_lightning.analysis.ledger import parameter_groups, total_parameters
from mot_lightning.analysis.ledger.parameters import codec_numbers
from mot_lightning.codecs import VQ, Patches

DIM, FFN = 32, 64  # of `make_model`
DENSE = {"all": ["text", "image", "speech"]}


def kinds(model):
    sums = {}
    for (kind, _), count in parameter_groups(model).items():
        sums[kind] = sums.get(kind, 0) + count
    return sums


def test_groups_have_each_parameter_once():
    for settings in ({}, {"towers": DENSE}, {"untie": ["ffn"]}, {"untie": []}):
        model = make_model("adaln", **settings)
        assert sum(kinds(model).values()) == total_parameters(model)


def test_untied_weights_are_those_that_one_tower_has_alone():
    assert "untied" not in kinds(make_model("additive", DENSE))
    assert "untied" not in kinds(make_model("additive", untie=[]))
    assert "backbone" not in kinds(make_model("additive"))
    one_layer_of_ffn = make_model("additive", untie=["ffn"], untied_layers=[1, 2])
    assert kinds(one_layer_of_ffn)["untied"] == 3 * 3 * DIM * FFN
    assert {name for kind, name in parameter_groups(one_layer_of_ffn) if kind == "untied"} == {
        "tower image", "tower speech", "tower text"
    }  # fmt: skip


def test_embeddings_are_tables():
    model = make_model("additive")
    groups = {name: count for (kind, name), count in parameter_groups(model).items() if kind == "embedding"}
    assert groups["text: embeddings"] == DIM * model.grammar.ids("text")
    assert groups["image: embeddings"] == DIM * 4  # of positions


def test_codecs_count_numbers_of_their_state_and_of_networks_outside_the_model():
    assert codec_numbers(Patches(shape=(1, 8, 8), patch_size=2)) == 2  # mean and scale
    vq = VQ(shape=(1, 8, 8), vocab_size=16)
    assert codec_numbers(vq) > 16 * vq.codebook.shape[1]
    assert not list(vq.parameters())
