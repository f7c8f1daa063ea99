"""Fixtures that several tests share: small real models and documents."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch

from mot_lightning.backbone import BackboneSettings
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import Diffusion, FlowMatching, NextToken, Objective
from mot_lightning.sequence import Segment, Tokens

TOKENS = {
    "text": Tokens(vocab_size=20),
    "image": Tokens(latent_dim=3, length=4, grid=(2, 2)),
    "speech": Tokens(vocab_size=9),
}
SMALL = BackboneSettings(dim=32, depth=2, heads=2, ffn_dim=64)

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    os.environ["MOT_LIGHTNING_CACHE"] = str(tmp_path_factory.mktemp("cache"))  # of codecs that tests train


@pytest.fixture(autouse=True)
def _few_threads():
    torch.set_num_threads(1)  # what the tests compute is too small to share


def make_model(image="norm", towers=None, tokens=TOKENS, order=("text", "image", "speech"), seed=0, **backbone):
    """A small three-modality model whose weights are all far from zero."""
    if not isinstance(image, Objective):
        image = Diffusion() if image == "diffusion" else FlowMatching(time=image)
    objectives = {"text": NextToken(), "image": image, "speech": NextToken()}
    settings = BackboneSettings(**{**vars(SMALL), "towers": towers or {}, **backbone})
    model = MixtureOfTransformers({n: objectives[n] for n in order}, {n: tokens[n] for n in order}, "text", settings)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():  # zero-initialised layers would hide what a test looks for
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def on(device, batch):
    """A batch whose tensors lie on a device."""
    layout, parts = batch
    move = lambda record: type(record)(*(x.to(device) if isinstance(x, torch.Tensor) else x for x in record))  # noqa: E731
    return type(batch)(move(layout), {name: move(part) for name, part in parts.items()})


def make_document(rng, kinds, tokens=TOKENS):
    """A random document with segments of the given modalities."""
    document = []
    for name in kinds:
        kind = tokens[name]
        if kind.discrete:
            found = torch.from_numpy(rng.integers(kind.vocab_size, size=rng.integers(1, 6)))
        else:
            found = torch.from_numpy(rng.standard_normal((kind.length, kind.latent_dim), dtype="float32"))
        document.append(Segment(name, found))
    return document
