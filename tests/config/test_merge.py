"""How one config is laid over another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from randomised import often

from mot_lightning.config.merge import Override, diff, flatten_keys, merge, nested, unflatten

FLOW = {"class_path": "mot_lightning.objectives.flow_matching.FlowMatching", "init_args": {"steps": 9, "shift": 3.0}}


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": {"b": 1}, "c": 2}, {"a": None}, {"c": 2}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": [1]}, {"a+": [2, 3]}, {"a": [1, 2, 3]}),
        ({"a": [1]}, {"a+": 2}, {"a": [1, 2]}),
        ({}, {"a+": 2}, {"a": [2]}),
        ({"a": None}, {"a+": [2]}, {"a": [2]}),
        ({"a": {"b": 1}}, {"a": Override({"c": 2})}, {"a": {"c": 2}}),
        ({"a": {"b": 1}}, {"a": Override({"c+": 2})}, {"a": {"c": [2]}}),
        ({"a": [{"x": 1}, {"x": 2}]}, {"a": {"y": 3}}, {"a": [{"x": 1}, {"x": 2, "y": 3}]}),
    ],
)
def test_plain_data(old, new, merged):
    before = repr((old, new))
    assert merge(old, new) == merged
    assert repr((old, new)) == before


def test_another_class_drops_the_arguments_of_the_one_before():
    assert merge(FLOW, "Diffusion") == {"class_path": "Diffusion"}
    assert merge(FLOW, {"class_path": "Diffusion", "init_args": {"steps": 3}}) == {
        "class_path": "Diffusion", "init_args": {"steps": 3}}  # fmt: skip


def test_the_same_class_by_any_of_its_names_keeps_them():
    for name in ("FlowMatching", "mot_lightning.objectives.FlowMatching", FLOW["class_path"]):
        assert merge(FLOW, name)["init_args"] == FLOW["init_args"]
        assert merge(FLOW, {"class_path": name, "init_args": {"steps": 3}})["init_args"] == {"steps": 3, "shift": 3.0}
    assert merge(FLOW, "my_package.FlowMatching") == {"class_path": "my_package.FlowMatching"}


def test_settings_beside_a_class_are_its_arguments():
    assert merge(FLOW, {"steps": 3})["init_args"] == {"steps": 3, "shift": 3.0}
    assert merge(FLOW, None) is None
    assert merge({"objective": FLOW}, {"objective": None}) == {"objective": None}
    assert merge("FlowMatching", {"steps": 3}) == {"class_path": "FlowMatching", "init_args": {"steps": 3}}


def test_a_mapping_that_overrides_still_meets_the_class_that_stands_there():
    assert merge(FLOW, Override({"steps": 3}))["init_args"] == {"steps": 3, "shift": 3.0}
    assert merge("FlowMatching", Override({"steps": 3})) == {"class_path": "FlowMatching", "init_args": {"steps": 3}}
    assert merge(FLOW, Override({"class_path": "Diffusion"})) == {"class_path": "Diffusion"}


def test_dotted_keys_are_mappings_in_mappings_at_any_depth():
    config = {"a.b.c": 1, "a": {"b.d": 2}, "list": [{"e.f": 3}], "over": Override({"g.h": 4})}
    assert nested(config) == {
        "a": {"b": {"c": 1, "d": 2}}, "list": [{"e": {"f": 3}}], "over": Override({"g": {"h": 4}})}  # fmt: skip
    assert unflatten("a.b", 1) == {"a": {"b": 1}}


scalars = st.none() | st.booleans() | st.integers(0, 9) | st.text("xyz", max_size=2)
configs = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        scalars | st.lists(st.integers(0, 9), max_size=3),
        lambda values: st.dictionaries(st.sampled_from("abc"), values, max_size=3),
        max_leaves=8,
    ),
    max_size=3,
)


@often
def test_the_later_config_wins_and_a_second_time_changes_nothing(tried):
    @tried
    @given(configs, configs)
    def holds(old, new):
        before = repr((old, new))
        merged = merge(old, new)
        assert repr((old, new)) == before
        assert diff(merge(merged, new), merged) == []
        assert set(merged) <= set(old) | set(new)
        assert merge(old, {}) == old
        for key in set(old) - set(new):
            assert merged[key] == old[key]
        for key, value in new.items():
            if value is None and isinstance(old.get(key), dict):
                assert key not in merged
            elif isinstance(value, dict):
                assert merged[key] == merge(old.get(key), value)
            else:
                assert merged[key] == value

    holds()


def test_names_and_differences_are_told_by_dotted_names():
    assert flatten_keys({"a": {"b": 1, "c": {}}, "d": Override({"e": 2})}) == ["a.b", "a.c", "d.e"]
    old, new = {"data": {"init_args": {"n": 4, "m": 1}}}, {"data": {"init_args": {"n": 3, "m": 1}}}
    assert diff(old, new) == ["data.n: 4 -> 3"]
