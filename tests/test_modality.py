"""A modality is made of objects."""

import pytest

from mot_lightning.codecs import Bytes
from mot_lightning.modality import Modality
from mot_lightning.objectives import NextToken


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Bytes, NextToken()), r"Modality.codec is the class Bytes, wanted a Codec: call it, Bytes\(\)"),
        (
            (Bytes(), NextToken),
            r"Modality.objective is the class NextToken, wanted an Objective: call it, NextToken\(\)",
        ),
        ((NextToken(), Bytes()), "Modality.codec is of type NextToken, wanted a Codec"),
        ((Bytes(), NextToken(), "1"), "Modality.weight is '1', wanted a number"),
    ],
)
def test_classes_and_other_objects_are_refused(arguments, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        Modality(*arguments)
