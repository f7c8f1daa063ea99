"""Shapes in signatures are checked at run time, call by call, in training, generation and codecs.

The import hook has to be installed before the package is imported, so this file runs itself in a subprocess.
"""

import importlib
import os
import subprocess
import sys
from typing import get_type_hints

import pytest
import torch

CHECKED = [
    "mot_lightning.backbone",
    "mot_lightning.codecs",
    "mot_lightning.generation.context",
    "mot_lightning.objectives",
    "mot_lightning.sequence",
]
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"  # accept an int for a float
IMAGE = (1, 8, 8)


def test_shapes_match_their_type_hints(tmp_path):
    settings = {**os.environ, "MOT_LIGHTNING_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__], env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# run in the subprocess


def train_and_generate() -> None:
    """Train and generate with every objective, prompted and guided, for several backbone settings."""
    from mot_lightning.backbone import BackboneSettings, MoESettings
    from mot_lightning.generation import generate
    from mot_lightning.generation.settings import GenerationSettings
    from mot_lightning.model import MixtureOfTransformers
    from mot_lightning.objectives import Diffusion, FlowMatching, MaskedToken, NextLatent, NextToken, Regression
    from mot_lightning.sequence import Segment, Tokens, pack

    text, units = Tokens(vocab_size=20), Tokens(vocab_size=9, length=4)
    latents = Tokens(latent_dim=3, length=4, grid=(2, 2))
    flow, unet = FlowMatching(steps=2), FlowMatching("additive", steps=2, patch_io="unet", prediction="x_0")
    diffusion = Diffusion(steps=2, prediction_type="epsilon", min_snr_gamma=5.0)
    generator = torch.Generator().manual_seed(0)
    cases = [
        (latents, flow, {}),
        (latents, unet, {"rope_2d": True, "attention": "blockwise"}),
        (latents, diffusion, {"kv_heads": 2, "untie": ["ffn"]}),
        (latents, NextLatent(steps=2, head_dim=24), {"rope_2d": True}),
        (latents, Regression(), {"norm": "res_post", "qk_norm": False}),
        (units, MaskedToken(steps=2), {"experts": {"other": MoESettings(choice="token")}}),
        (units, NextToken(tie=True, max_logits=60), {"experts": {"other": MoESettings()}, "attention": "blockwise"}),
    ]
    for kind, objective, changes in cases:
        settings = BackboneSettings(dim=32, depth=2, heads=4, ffn_dim=64, **changes)
        tokens = {"text": text, "other": kind}
        model = MixtureOfTransformers({"text": NextToken(), "other": objective}, tokens, "text", settings)
        other = torch.arange(4) if kind.discrete else torch.randn(4, 3, generator=generator)
        context = [Segment("text", torch.arange(7)), Segment("other", other, noise_cap=0.5)]
        documents = [context, [Segment("other", other, loss=False)], [Segment("text", torch.arange(3)), *context]]
        batch = pack(documents, model.grammar, 40)
        check_records(batch)
        losses = model(batch)
        sum(one.loss.sum() for one in losses.values()).backward()
        for guidance in (1.0, 2.0):
            sampling = GenerationSettings(modalities=("text", "other"), max_length=5, guidance={"other": guidance})
            generated = generate(model.eval(), [documents[0], [], documents[2]], sampling)
            assert [segment.modality for segment in generated[0]] == ["text", "other"]


def check_records(batch) -> None:
    """The fields of a batch match their type hints, with consistent axis sizes."""
    from jaxtyping import jaxtyped

    for record in (batch.layout, *batch.by_modality.values()):
        with jaxtyped("context"):
            for name, hint in get_type_hints(type(record)).items():
                value = getattr(record, name)
                assert name == "counts" or isinstance(value, hint), f"{name} is {tuple(value.shape)}, wanted {hint}"


def encode_and_decode() -> None:
    """Encode and decode media with each codec."""
    from mot_lightning.codecs import BPE, VAE, VQ, Bytes, LogMelUnits, MelLatents, Patches, PatchUnits, Standardized

    generator = torch.Generator().manual_seed(0)
    texts = ["one", "twenty two", "three hundred"]
    images = [torch.rand(IMAGE, generator=generator) for _ in range(64)]
    waves = [torch.rand(4_000, generator=generator) - 0.5 for _ in range(4)]
    for codec, media in (
        (Bytes(), texts),
        (BPE(260), texts),
        (Patches(IMAGE, 4), images),
        (PatchUnits(IMAGE, 4, vocab_size=8), images),
        (VAE(IMAGE, channels=8, steps=2), images),
        (VQ(IMAGE, vocab_size=8, channels=8, steps=2), images),
        (LogMelUnits(8), waves),
        (MelLatents(seconds=0.5, latent_dim=6), waves),
        (Standardized((None, 3)), [torch.rand(n, 3, generator=generator) for n in (4, 9)]),
    ):
        codec.fit(media)
        codec.decode(codec.encode(media[0]))
        for table in (codec.codebook, codec.bytes_per_token()):
            assert table is None or len(table) == codec.vocab_size


def refuse_wrong_shapes() -> None:
    """Mismatched lengths, a missing axis and a wrong dtype raise."""
    from jaxtyping import TypeCheckError

    from mot_lightning.backbone.norm import rms_norm
    from mot_lightning.backbone.rope import rotate
    from mot_lightning.codecs.patches import from_patches
    from mot_lightning.generation.context import Context
    from mot_lightning.model import MixtureOfTransformers
    from mot_lightning.objectives import NextToken
    from mot_lightning.sequence import Segment, Tokens, pack

    model = MixtureOfTransformers({"text": NextToken()}, {"text": Tokens(vocab_size=5)}, "text")
    dim, objective = model.backbone.settings.dim, model.objectives["text"]
    for call in (
        lambda: objective.cross_entropy(torch.zeros(3, dim), torch.zeros(4, dtype=torch.long)),
        lambda: Context(model.backbone, 2).peek(torch.zeros(1, 2, dim), "text", True, counts=torch.ones(2).long()),
        lambda: rms_norm(torch.zeros(3, 8), torch.zeros(1)),
        lambda: rotate(torch.zeros(3, 2, 4), torch.zeros(3, 4), torch.zeros(3, 4)),
        lambda: from_patches(torch.zeros(4, 4, dtype=torch.long), (4, 4), 2),
    ):
        with pytest.raises(TypeCheckError):
            call()
    batch = pack([[Segment("text", torch.arange(3))]], model.grammar, 8)
    short = batch.layout._replace(position=batch.layout.position[:, 1:])
    with pytest.raises(AssertionError, match="position is"):
        check_records(batch._replace(layout=short))


if __name__ == "__main__":
    from jaxtyping import install_import_hook

    with install_import_hook(CHECKED, CHECKER):
        for name in CHECKED:
            importlib.import_module(name)
    train_and_generate()
    encode_and_decode()
    refuse_wrong_shapes()
