"""A modality is a codec, an objective and a weight; a model is assembled from several.

Knows which objectives fit which codecs, not training or data.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mot_lightning.backbone import BackboneSettings
from mot_lightning.codecs import Codec
from mot_lightning.codecs.fitting import CODEC_SAMPLES
from mot_lightning.config.checked import checked
from mot_lightning.errors import require
from mot_lightning.interop import LanguageModels
from mot_lightning.interop.start import start_towers
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import Objective
from mot_lightning.objectives.compatibility import check_methods, incompatible
from mot_lightning.sequence import Tokens


@checked("Modality")
@dataclass
class Modality:
    """One modality of an experiment.

    Attributes:
        codec: raw media <-> tokens.
        objective: how its tokens are learned and sampled.
        weight: weight of its loss in the total loss.
        codec_samples: training media that its codec is fitted on; of more, as many are chosen at random.
    """

    codec: Codec
    objective: Objective
    weight: float = 1.0
    codec_samples: int = CODEC_SAMPLES

    def __post_init__(self) -> None:
        require("codec_samples", self.codec_samples, "at least 1", self.codec_samples >= 1)


def tokens_of(codec: Codec) -> Tokens:
    """The description of a codec's tokens, which models and objectives take in place of the codec."""
    return Tokens(
        vocab_size=codec.vocab_size,
        latent_dim=codec.latent_dim,
        length=codec.length,
        grid=codec.grid,
        patch_size=codec.patch_size,
        max_length=codec.max_length,
        stop=codec.stop,
        decodable=codec.decodable,
        codebook=None if codec.codebook is None else (len(codec.codebook), codec.codebook.shape[1]),
    )


def assemble(
    modalities: Mapping[str, Modality],
    control: str,
    backbone: BackboneSettings = BackboneSettings(),  # noqa: B008 (frozen)
    pretrained: LanguageModels | None = None,
) -> MixtureOfTransformers:
    """The model of the given modalities, initialised from PyTorch's global generator.

    Args:
        modalities: codec, objective and loss weight of each modality, by name.
        control: the discrete modality whose vocabulary has the control tokens.
        backbone: size, shape and towers.
        pretrained: the language models that towers start from, by modality.

    Raises:
        ValueError: there is no modality, a weight is out of range, or an objective does not fit its codec or the base.
    """
    if not modalities:
        raise ValueError("model.modalities is empty, wanted at least one modality")
    tokens = {name: tokens_of(modality.codec) for name, modality in sorted(modalities.items())}
    for name, modality in modalities.items():
        weight = modality.weight
        require(f"model.modalities.{name}.weight", weight, "a number of 0 or more", 0 <= weight < math.inf)
        check_methods(modality.objective)
        if not modality.objective.supports(tokens[name]):
            raise ValueError(incompatible(name, modality.objective, tokens[name]))
    objectives = {name: modalities[name].objective for name in tokens}
    model = MixtureOfTransformers(objectives, tokens, control, backbone)
    start_towers(model, {name: modality.codec for name, modality in sorted(modalities.items())}, pretrained or {})
    return model
