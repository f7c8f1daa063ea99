"""Random prompts and settings always give complete, decodable documents."""

import random

import pytest
import torch

from datamodules import Digits
from mot_lightning.backbone import BackboneSettings
from mot_lightning.codecs import Bytes, LogMelUnits, Patches
from mot_lightning.modality import Modality
from mot_lightning.module import MoTModule
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.pipeline import MoTPipeline
from mot_lightning.sequence import Segment

SAMPLES, AT_ONCE = 200, 25


@pytest.fixture(scope="module")
def trained() -> tuple[MoTPipeline, Digits]:
    """A small model after a few steps, and its data."""
    torch.set_num_threads(1)
    modalities = {
        "text": Modality(Bytes(), NextToken()),
        "image": Modality(Patches(shape=(1, 8, 8), patch_size=2), FlowMatching(steps=3)),
        "speech": Modality(LogMelUnits(vocab_size=16, griffin_lim_iterations=1), NextToken()),
    }
    module = MoTModule(modalities, control="text", backbone=BackboneSettings(dim=32, depth=1, heads=2))
    data = Digits(batch_size=8)
    module.prepare(data)
    optimizer = torch.optim.AdamW(module.model.parameters(), lr=1e-2)
    for step, batch in zip(range(40), data.train_dataloader(), strict=False):
        sums = module.sums(module.model(batch, step), batch)
        module.loss_weights.total(sums.loss, sums.targets).backward()
        optimizer.step()
        optimizer.zero_grad()
    module.ema_model.load_state_dict(module.model.state_dict())
    return MoTPipeline(module.codecs, module.ema_model), data  # without limits


def some_prompt(data, rng):
    """Up to three texts, images and sounds in any order, some texts very long."""
    texts = ["", "a handwritten seven", "\u00e9\u4e2d\U0001f600", "long " * 300, "\n\0\t", "</p><script>"]
    pieces = []
    for _ in range(rng.randrange(4)):
        name = rng.choice(["text", "image", "speech"])
        pieces.append((name, rng.choice(texts) if name == "text" else rng.choice(data.media(name, "train"))))
    return pieces


def test_random_prompts_give_complete_documents(trained):
    pipeline, data = trained
    rng, grammar = random.Random(0), pipeline.model.grammar
    kinds = set()
    for start in range(0, SAMPLES, AT_ONCE):
        prompts = [some_prompt(data, rng) for _ in range(AT_ONCE)]
        modalities = tuple(rng.choices(["text", "image", "speech"], k=3)) if rng.random() < 0.5 else ()
        settings = {
            "modalities": modalities,
            "max_segments": 3,
            "max_length": 20,
            "temperature": rng.choice([0.0, 0.7, 1.5]),
            "top_k": rng.choice([0, 5]),
            "top_p": rng.choice([0.9, 1.0]),
            "min_p": rng.choice([0.0, 0.1]),
            "repetition_penalty": rng.choice([1.0, 1.3]),
            "guidance": rng.choice([1.0, 2.0, {"text": 1.5, "image": 3.0}]),
            "seed": start,
        }
        documents = pipeline(prompts, **settings)
        assert len(documents) == AT_ONCE
        for document in documents:
            assert [name for name, _ in document] == [*modalities] if modalities else len(document) <= 3
            for name, media in document:
                kinds.add(name)
                codec = pipeline.codecs[name]
                tokens = codec.encode(media)
                grammar.check(Segment(name, tokens))
                if name == "image":
                    assert media.isfinite().all()
                    assert tokens.shape == (codec.length, codec.latent_dim)
                    torch.testing.assert_close(codec.decode(tokens), media, atol=1e-5, rtol=0)
                elif name == "text":
                    assert codec.decode(tokens) == media
                else:
                    assert media.isfinite().all()
                    assert len(media) <= 20 * codec.samples_per_unit
    assert kinds == {"text", "image", "speech"}
