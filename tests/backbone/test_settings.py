"""Validation of backbone settings, and the grouping of modalities into towers."""

import pytest

from mot_lightning.backbone import BackboneSettings, MoESettings
from mot_lightning.backbone.towers import group_towers

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8,
    "low_freq_factor": 1,
    "high_freq_factor": 4,
    "original_max_position_embeddings": 64,
}
NAMES = ["text", "image", "speech"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dim": 0}, "backbone.dim is 0, wanted at least 1"),
        ({"depth": 0}, "backbone.depth is 0, wanted at least 1"),
        ({"heads": -1}, "backbone.heads is -1, wanted at least 1"),
        ({"dim": 32, "heads": 5}, "backbone.heads is 5, wanted .* dim 32"),
        ({"dim": 6, "heads": 2}, "backbone.heads is 2, wanted .* dim 6"),  # RoPE needs an even head dim
        ({"dropout": 1.0}, "backbone.dropout is 1.0, wanted from 0 to below 1"),
        ({"attention": "fast"}, "backbone.attention is 'fast', wanted auto, sdpa, blockwise, flex"),
        ({"dropout": -0.1}, "backbone.dropout is -0.1, wanted from 0 to below 1"),
    ],
)
def test_invalid_settings_raise_a_one_line_error(wrong, message):
    with pytest.raises(ValueError, match=message) as refused:
        BackboneSettings(**wrong)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kv_heads": 3}, "backbone.kv_heads is 3, wanted a number that divides 4 heads evenly"),
        ({"kv_heads": -1}, "backbone.kv_heads is -1, wanted 0 or more"),
        ({"head_dim": 5}, "backbone.head_dim is 5, wanted a multiple of 2"),
        ({"head_dim": 6, "rope_2d": True}, "backbone.head_dim is 6, wanted a multiple of 4"),
        ({"rope_scaling": 0.0}, "backbone.rope_scaling is 0.0, wanted above 0"),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
            "backbone.rope_scaling is {'rope_type': 'yarn', 'factor'",
        ),
        ({"rope_scaling": {**LLAMA3, "rope_type": "yarn"}}, "backbone.rope_scaling.rope_type is 'yarn', wanted llama3"),
        ({"rope_scaling": {**LLAMA3, "factor": 0}}, "backbone.rope_scaling.factor is 0, wanted above 0"),
        (
            {"rope_scaling": {**LLAMA3, "low_freq_factor": 4}},
            "backbone.rope_scaling.high_freq_factor is 4, wanted above low_freq_factor, 4",
        ),
        ({"norm_eps": 0.0}, "backbone.norm_eps is 0.0, wanted above 0"),
        ({"nope_layers": [4]}, "backbone.nope_layers is [4], wanted from 0 to 3"),
        ({"sliding_window": -1}, "backbone.sliding_window is -1, wanted 0 or more"),
        ({"rope_base": 1.0}, "backbone.rope_base is 1.0, wanted above 1"),
        ({"norm": "post"}, "backbone.norm is 'post', wanted 'pre' or 'res_post'"),
        ({"untie": ["attention"]}, "backbone.untie has 'attention', wanted some of ffn, qkv, o, norm, qk_norm"),
        ({"untied_layers": [2, 9]}, "backbone.untied_layers is [2, 9], wanted [first, after the last] from 0 to depth"),
        (
            {"cuda_graphs": True, "activation_checkpointing": True},
            "backbone.cuda_graphs is true, wanted false with activation_checkpointing",
        ),
        ({"untied_layers": [3]}, "backbone.untied_layers is [3], wanted [first, after the last] from 0 to depth 4"),
    ],
)
def test_invalid_variant_settings_raise_a_one_line_error(wrong, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (the message is compared below)
        BackboneSettings(**wrong)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("towers", "message"),
    [
        ({"a": ["text", "image"]}, "backbone.towers names 'speech' 0 times, wanted it in exactly one tower"),
        ({"a": NAMES, "b": ["text"]}, "backbone.towers names 'text' 2 times, wanted it in exactly one tower"),
        ({"a": [*NAMES, "text"]}, "backbone.towers names 'text' 2 times, wanted it in exactly one tower"),
        ({"a": [*NAMES, "video"]}, "backbone.towers names 'video', wanted modalities among image, speech, text"),
    ],
)
def test_towers_that_do_not_partition_modalities_raise_a_one_line_error(towers, message):
    with pytest.raises(ValueError, match=message) as refused:
        group_towers(towers, NAMES)
    assert "\n" not in str(refused.value)


def test_experts_are_not_captured():
    with pytest.raises(ValueError, match=r"backbone\.cuda_graphs is true, wanted false with experts"):
        BackboneSettings(cuda_graphs=True, experts={"text": MoESettings()})


def test_towers_do_not_depend_on_names_or_declaration_order():
    assert group_towers({}, NAMES) == group_towers({}, NAMES[::-1]) == [("image",), ("speech",), ("text",)]
    one = {"a": ["speech", "image"], "b": ["text"]}
    other = {"words": ["text"], "rest": ["image", "speech"]}
    assert group_towers(one, NAMES) == group_towers(other, NAMES) == [("image", "speech"), ("text",)]
