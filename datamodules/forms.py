"""The forms that documents of a record may have: which modalities, in which order, and how often."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Set
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

Form = tuple[str, ...]


class Forms:
    """Forms with their weights.

    Args:
        documents: weight of each form: its modalities joined by "+", such as "text+image".
        modalities: that there are.

    Raises:
        ValueError: a form has another modality, or no form a weight above 0.
    """

    def __init__(self, documents: Mapping[str, float], modalities: Set[str]) -> None:
        for form, weight in documents.items():
            if not {*form.split("+")} <= modalities or not 0 <= weight < math.inf:
                names = ", ".join(modalities)
                raise ValueError(f"data.documents has {form}: {weight}, wanted some of {names} and a weight from 0")
        if not any(documents.values()):
            raise ValueError(f"data.documents is {documents}, wanted a weight above 0")
        largest = max(documents.values())
        self.weights = {tuple(form.split("+")): weight / largest for form, weight in documents.items() if weight}

    def sample(self, present: Mapping[str, Any], rng: np.random.Generator) -> Form | None:
        """A form of which a record has something, without the modalities that are not in the model.

        Args:
            present: what the record has of each modality in the model.

        Returns:
            None if it has nothing of any form.
        """
        weights = (weight * any(map(present.get, form)) for form, weight in self.weights.items())
        cumulative = [*accumulate(weights)]
        if not cumulative[-1]:
            return None
        form = [*self.weights][bisect_right(cumulative, rng.random() * cumulative[-1])]
        return tuple(name for name in form if name in present)

    def neighbours(self, modalities: Set[str]) -> list[tuple[str, str]]:
        """Pairs of different modalities that follow each other in a form, if others than these are left out."""
        forms = [[name for name in form if name in modalities] for form in self.weights]
        return [*dict.fromkeys(pair for form in forms for pair in pairwise(form) if pair[0] != pair[1])]
