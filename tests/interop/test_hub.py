"""The Hub, offline: what is in its cache is read, what is not is said in one line, and uploads have the right files."""

import shutil
from pathlib import Path

import huggingface_hub
import pytest

from mot_lightning.errors import ConfigError, NotWritten
from mot_lightning.interop.hub import names_repository
from mot_lightning.pipeline import MoTPipeline

COMMITS = {"main": "a" * 40, "v1": "b" * 40}


@pytest.fixture(scope="module")
def pipeline(trained):
    return MoTPipeline.from_pretrained(trained)


@pytest.fixture
def hub_cache(tmp_path, monkeypatch, pipeline):
    """A cache of the Hub in which someone/digits was downloaded: at v1 without limits."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "hub/models--someone--digits"
    (folder / "refs").mkdir(parents=True)
    for revision, commit in COMMITS.items():
        (folder / "refs" / revision).write_text(commit)
        limits = pipeline.limits if revision == "main" else None
        MoTPipeline(pipeline.codecs, pipeline.model, limits).save_pretrained(folder / "snapshots" / commit)
    return folder


class Api:
    """Stands in for `HfApi`, and keeps what is uploaded."""

    calls: dict

    def __init__(self, token=None):
        self.calls.update(token=token)

    def create_repo(self, repo_id, private, exist_ok):
        self.calls.update(repo_id=repo_id, private=private, exist_ok=exist_ok)
        return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

    def upload_folder(self, repo_id, folder_path, commit_message):
        shutil.copytree(folder_path, self.calls["uploads"] / repo_id)


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    monkeypatch.setattr(Api, "calls", {"uploads": tmp_path / "uploads"}, raising=False)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return Api.calls


@pytest.mark.usefixtures("hub_cache")
def test_a_repository_is_read_at_its_revision(pipeline):
    assert MoTPipeline.from_pretrained("someone/digits").limits == pipeline.limits
    for revision in ("v1", COMMITS["v1"]):
        assert MoTPipeline.from_pretrained("someone/digits", revision=revision).limits is None


def test_a_damaged_repository_is_named(hub_cache):
    (hub_cache / "snapshots" / COMMITS["main"] / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"^checkpoint someone/digits: .*config.json cannot be read"):
        MoTPipeline.from_pretrained("someone/digits")


@pytest.mark.usefixtures("hub_cache")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "someone/else"}, "checkpoint someone/else is not on this machine, and cannot be had from the Hub: "),
        ({"path": "someone/digits", "revision": "v2"}, "checkpoint someone/digits at v2 is not on this machine, and"),
        ({"path": "a--b/c"}, "checkpoint is 'a--b/c', wanted USER/NAME: "),
        ({"path": "runs/default/0"}, "checkpoint .*runs/default/0 does not exist"),
        ({"path": "runs/last.ckpt"}, "checkpoint .*runs/last.ckpt does not exist"),
        ({"path": Path("someone/digits")}, "checkpoint .*someone/digits does not exist"),
        ({"path": "here.ckpt", "revision": "v1"}, "revision is 'v1', wanted none: here.ckpt is no repository"),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(arguments, message):
    with pytest.raises(ConfigError, match=f"^{message}") as refusal:
        MoTPipeline.from_pretrained(**arguments)
    assert "\n" not in str(refusal.value)


def test_what_is_there_is_no_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert names_repository("someone/digits")
    (tmp_path / "someone/digits").mkdir(parents=True)
    assert not names_repository("someone/digits")
    assert not any(map(names_repository, ["digits", "./digits", "/digits", "~/digits", "a/b/c", Path("a/b"), "a/"]))


def test_an_upload_has_what_save_pretrained_writes(tmp_path, pipeline, uploads):
    address = pipeline.push_to_hub("someone/digits", private=True, token="hf_x", license="mit")
    assert address == "https://huggingface.co/someone/digits"
    assert {name: uploads[name] for name in ("repo_id", "private", "exist_ok", "token")} == {
        "repo_id": "someone/digits", "private": True, "exist_ok": True, "token": "hf_x",
    }  # fmt: skip
    pipeline.save_pretrained(tmp_path / "digits", license="mit")
    uploaded = tmp_path / "uploads/someone/digits"
    assert {file.name for file in uploaded.iterdir()} == {file.name for file in (tmp_path / "digits").iterdir()}
    for file in uploaded.glob("*.*s*"):
        assert file.read_bytes() == (tmp_path / "digits" / file.name).read_bytes()
    assert 'MoTPipeline.from_pretrained("someone/digits")\n' in (uploaded / "README.md").read_text()
    assert MoTPipeline.from_pretrained(uploaded).limits == pipeline.limits


def test_an_upload_that_fails_says_why_in_one_line(pipeline):
    with pytest.raises(NotWritten, match=r"^someone/digits cannot be uploaded to the Hub: .*offline") as refusal:
        pipeline.push_to_hub("someone/digits")
    assert "\n" not in str(refusal.value)
    with pytest.raises(ConfigError, match=r"^repo_id is 'a b/c', wanted USER/NAME: "):
        pipeline.push_to_hub("a b/c")
    with pytest.raises(ConfigError, match=r"^repo_id is 'digits', wanted USER/NAME$"):
        pipeline.push_to_hub("digits")
