"""Classes that are named and built late."""

import jsonargparse
import pytest

from mot_lightning.config.specs import Specs


def test_a_parser_builds_nothing_and_adds_nothing():
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--metrics", type=Specs | None, default=None)
    named = {"image": {"one": {"class_path": "collections.Counter", "init_args": {"iterable": "aab"}}}}
    parsed = parser.instantiate(parser.parse_object({"metrics": named}))
    assert parsed.metrics == named
    assert type(parsed.metrics["image"]["one"]) is dict
    assert "collections.Counter" in parser.dump(parsed)
    assert parser.parse_object({}).metrics is None
    with pytest.raises(jsonargparse.ArgumentError):
        parser.parse_object({"metrics": 3})
