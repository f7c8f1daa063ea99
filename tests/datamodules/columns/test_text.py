"""Texts of templates."""

import pytest

from datamodules.columns import TextColumn
from datamodules.sources.base import Member


@pytest.mark.parametrize(("cell", "kind"), [(["a"], "a list"), (Member("a.png", bytes), "a file")])
def test_a_template_takes_no_list_and_no_file(cell, kind):
    with pytest.raises(ValueError, match=f"column 'label' holds {kind}, wanted one value for a template"):
        TextColumn(None, ["a photo of {label}"]).values({"label": cell})
