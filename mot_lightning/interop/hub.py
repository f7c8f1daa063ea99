"""The Hugging Face Hub: which texts name a repository, and how its files come and go."""

from pathlib import Path
from typing import Any

from mot_lightning.errors import ConfigError, NotWritten
from mot_lightning.interop.folder import FILES


def names_repository(path: Any) -> bool:
    """Whether a text is the name of a repository, USER/NAME: nothing is there, and it is not written as a path."""
    if not isinstance(path, str) or path.count("/") != 1 or path.endswith((".ckpt", "/")):
        return False
    return not path.startswith(("~", "/", "./", "../")) and not Path(path).exists()


def check_repository(name: str, argument: str) -> None:
    """Raises ConfigError if a name is none that a repository can have."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    if str(name).count("/") != 1:  # else it would be a path to `from_pretrained`
        raise ConfigError(f"{argument} is {name!r}, wanted USER/NAME")
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ConfigError(f"{argument} is {name!r}, wanted USER/NAME: {_reason(error)}") from None


def download(repo_id: str, revision: str | None, argument: str) -> Path:
    """The folder of a repository's files, in the cache of huggingface_hub; only those of a whole model are fetched.

    Args:
        revision: a branch, a tag or a commit.
        argument: what the name was given for, in errors.

    Raises:
        ConfigError: there is no such repository or revision, or it cannot be reached.
    """
    from huggingface_hub import snapshot_download

    check_repository(repo_id, argument)
    try:
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=[*FILES]))
    except Exception as error:  # of huggingface_hub, httpx and the system
        at = f" at {revision}" if revision else ""
        raise ConfigError(
            f"{argument} {repo_id}{at} is not on this machine, and cannot be had from the Hub: {_reason(error)}"
        ) from None


def upload(folder: Path, repo_id: str, private: bool | None = None, token: str | None = None) -> str:
    """Upload a folder's files in one commit, to a repository that is created if there is none; returns its address.

    Args:
        private: whether a new repository is private; None leaves it to the account.
        token: None takes that of `hf auth login`, or of HF_TOKEN.

    Raises:
        NotWritten: the Hub refused, or cannot be reached.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi(token=token)
        repository = api.create_repo(repo_id, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository.repo_id, folder_path=folder, commit_message="Upload MoTPipeline")
    except Exception as error:  # of huggingface_hub, httpx and the system
        raise NotWritten(f"{repo_id} cannot be uploaded to the Hub: {_reason(error)}") from None
    return str(repository)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
