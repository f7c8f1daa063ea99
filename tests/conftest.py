"""Shared fixtures: small models and documents, and a tiny trained run."""

import copy
import os
import signal

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["OMP_NUM_THREADS"] = "1"  # the tests' tensors are too small for several threads; subprocesses inherit it

import pytest
import torch
import yaml
from runs import TINY, run, shared_run

from mot_lightning.backbone import BackboneSettings
from mot_lightning.codecs import LogMelUnits
from mot_lightning.codecs.pretrained import content_hash
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import Diffusion, FlowMatching, NextToken, Objective
from mot_lightning.sequence import Segment, Tokens

TOKENS = {
    "text": Tokens(vocab_size=20),
    "image": Tokens(latent_dim=3, length=4, grid=(2, 2)),
    "speech": Tokens(vocab_size=9),
}
SMALL = BackboneSettings(dim=32, depth=2, heads=2, ffn_dim=64)

# Where the suite itself ignores these (started with & or nohup), the runs that tests send signals to would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

FITTED = {}  # states of `LogMelUnits` by settings and sounds

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


@pytest.fixture(autouse=True, scope="session")
def _cache_of_tests(shared_folder):
    os.environ["MOT_LIGHTNING_CACHE"] = str(shared_folder / "cache")  # for codecs that tests train


@pytest.fixture(autouse=True)
def _same_sounds_are_clustered_once(request, monkeypatch):
    """Runs of tests fit `LogMelUnits` of one setting to the same sounds; its own tests fit it anew."""

    def fit_once(codec, media):
        key = content_hash({"codec": codec.fingerprint({}), "media": {str(i): wave for i, wave in enumerate(media)}})
        if key not in FITTED:
            fit(codec, media)
            FITTED[key] = copy.deepcopy(codec.state_dict())
        codec.load_state_dict(FITTED[key])

    fit = LogMelUnits.fit
    if request.path.parent.name != "codecs":
        monkeypatch.setattr(LogMelUnits, "fit", fit_once)


@pytest.fixture(autouse=True)
def _few_threads():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id):
    """A folder shared by all pytest-xdist workers."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def trained(shared_folder):
    """The folder of a tiny, uninterrupted training run; read-only for tests."""
    return shared_run(shared_folder / "trained", "fit", *TINY, "--report.prompts=3", "--samples.prompts=3")


@pytest.fixture
def refusal(capsys, tmp_path):
    """Run a command that must fail without writing a file, and return its one-line error."""

    def refused(*arguments):
        before = sorted(tmp_path.rglob("*"))
        capsys.readouterr()
        assert run(tmp_path / "runs", *arguments) == 2
        message = capsys.readouterr().err.strip()
        assert len(message.splitlines()) == 1
        assert message.startswith("error: ")
        assert sorted(tmp_path.rglob("*")) == before
        return message

    return refused


@pytest.fixture
def printed_config(capsys, tmp_path):
    """The config that `--print_config` prints for a command line."""

    def printed(*arguments, command="fit"):
        capsys.readouterr()
        assert run(tmp_path / "runs", command, *arguments, "--print_config") == 0
        return yaml.safe_load(capsys.readouterr().out)

    return printed


def make_model(image="adaln", towers=None, tokens=TOKENS, order=("text", "image", "speech"), seed=0, **backbone):
    """A small three-modality model with random nonzero weights."""
    if not isinstance(image, Objective):
        image = Diffusion() if image == "diffusion" else FlowMatching(time_conditioning=image)
    objectives = {"text": NextToken(), "image": image, "speech": NextToken()}
    settings = BackboneSettings(**{**vars(SMALL), "towers": towers or {}, **backbone})
    model = MixtureOfTransformers({n: objectives[n] for n in order}, {n: tokens[n] for n in order}, "text", settings)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():  # zero-initialised layers would hide errors
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def on(device, batch):
    """The batch with its tensors moved to a device."""
    move = lambda record: type(record)(*(x.to(device) if isinstance(x, torch.Tensor) else x for x in record))  # noqa: E731
    parts = {name: move(part) for name, part in batch.by_modality.items()}
    return batch._replace(layout=move(batch.layout), by_modality=parts)


def make_document(rng, kinds, tokens=TOKENS):
    """A random document with segments of the given modalities."""
    document = []
    for name in kinds:
        kind = tokens[name]
        if kind.discrete:
            content = torch.from_numpy(rng.integers(kind.vocab_size, size=rng.integers(1, 6)))
        else:
            content = torch.from_numpy(rng.standard_normal((kind.length, kind.latent_dim), dtype="float32"))
        document.append(Segment(name, content))
    return document


@pytest.fixture(scope="session")
def language_models(tmp_path_factory):
    """The folder of a tiny random language model, by family."""
    from language_models import FAMILIES, save  # transformers takes seconds

    root = tmp_path_factory.mktemp("language_models")
    return {name: save(root / name, name) for name in FAMILIES}
