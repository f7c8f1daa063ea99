"""Codecs between raw media and tokens: one file per representation."""

from mot_lightning.codecs.base import Codec
from mot_lightning.codecs.hubert import HubertUnits
from mot_lightning.codecs.image_features import ImageFeatures
from mot_lightning.codecs.mel_latents import MelLatents
from mot_lightning.codecs.mel_units import LogMelUnits
from mot_lightning.codecs.neural_audio import NeuralCodec
from mot_lightning.codecs.patch_units import PatchUnits
from mot_lightning.codecs.patches import Patches
from mot_lightning.codecs.rae import RAE
from mot_lightning.codecs.standardized import Standardized
from mot_lightning.codecs.text import Bytes
from mot_lightning.codecs.tokenizer import BPE, HFTokenizer
from mot_lightning.codecs.vae import VAE
from mot_lightning.codecs.vq import VQ

__all__ = [
    "BPE",
    "RAE",
    "VAE",
    "VQ",
    "Bytes",
    "Codec",
    "HFTokenizer",
    "HubertUnits",
    "ImageFeatures",
    "LogMelUnits",
    "MelLatents",
    "NeuralCodec",
    "PatchUnits",
    "Patches",
    "Standardized",
]
