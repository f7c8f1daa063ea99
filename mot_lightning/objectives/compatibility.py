"""Whether an objective is what a model needs, and what to say of one that does not fit a modality's tokens."""

import inspect

from mot_lightning import objectives
from mot_lightning.objectives.base import Objective
from mot_lightning.sequence import Tokens


def incompatible(name: str, objective: Objective, tokens: Tokens) -> str:
    """One line: the modality, the tokens of its codec, and what would fit."""
    classes = [getattr(objectives, class_name) for class_name in objectives.__all__]
    fitting = [kind.__name__ for kind in classes if kind is not Objective and kind.supports(tokens)]
    seen, expected = ("ids" if discrete else "latents" for discrete in (tokens.discrete, objective.discrete))
    if not tokens.decodable:
        seen, expected = f"{seen} that it cannot decode", f"{expected} that it can"
    elif seen == expected:  # their number does not fit
        seen, expected = f"{seen} of any number", f"{expected} of a fixed number"
    return (
        f"{type(objective).__name__} does not fit modality {name!r}: its codec makes {seen}, wanted "
        f"{' or '.join([*fitting, f'a codec that makes {expected}'])}"
    )


def check_methods(objective: Objective) -> None:
    """Raises ValueError if `embed` or `loss` of an objective takes other arguments than that of `Objective`."""
    for name in ("embed", "loss"):
        _, *names = inspect.signature(getattr(Objective, name)).parameters
        signature = inspect.signature(getattr(objective, name))
        try:
            signature.bind(*names)
        except TypeError:
            what = f"{type(objective).__name__}.{name} takes ({', '.join(signature.parameters)})"
            raise ValueError(f"{what}, wanted ({', '.join(names)})") from None
