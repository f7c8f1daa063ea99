"""Prompts of the command line: which are files, which are texts, and which modality reads a file."""

import re
from pathlib import Path

import PIL.Image
import pytest

from mot_lightning.codecs import Bytes, Patches
from mot_lightning.errors import ConfigError
from mot_lightning.generation.prompts import read_prompt, read_prompts, read_words

CODECS = {"text": Bytes(), "image": Patches((1, 8, 8), 2)}
TWO = {**CODECS, "depth": Patches((1, 8, 8), 4)}


@pytest.fixture
def photo(tmp_path):
    PIL.Image.new("L", (8, 8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize("name", ["photo.png", "photo.dat"])
def test_file_that_two_modalities_read_is_asked_for(photo, name):
    path = photo.rename(photo.with_name(name))
    message = f"{path} may be image or depth, wanted image:{name} or depth:{name}"
    for read in (lambda: read_words(TWO, "text", name, path.parent), lambda: read_prompt(TWO, "text", path)):
        with pytest.raises(ValueError, match=re.escape(message)):
            read()
    assert read_words(TWO, "text", f"depth:{name}", path.parent)[0] == "depth"
    assert read_prompt(TWO, "text", ("depth", path))[0][0] == "depth"
    assert read_words(CODECS, "text", name, path.parent)[0] == "image"


@pytest.mark.parametrize(
    "words",
    ["gone.png", "my photo.png", "notes.txt", "photos/gone.heic", "./my photo.heic", "~/gone.png", "/tmp/gone.jpg"],
)
def test_prompt_that_looks_like_a_file_and_is_none_is_refused(tmp_path, words):
    with pytest.raises(ValueError, match=f"does not exist: text:{re.escape(words)} is a text") as refused:
        read_words(CODECS, "text", words, tmp_path)
    assert "\n" not in str(refused.value)
    assert read_words(CODECS, "text", f"text:{words}", tmp_path) == ("text", words)


@pytest.mark.parametrize("words", ["", "a seven", "and/or", "w/o a name. Then", "~ seven", "3.5", "1/2.5", "x" * 5000])
def test_anything_else_is_text(tmp_path, words):
    assert read_words(CODECS, "text", words, tmp_path) == ("text", words)


def test_home_folder_is_expanded_in_prompts(photo, monkeypatch):
    monkeypatch.setenv("HOME", str(photo.parent))
    for words in ("~/photo.png", "image:~/photo.png"):
        assert read_words(CODECS, "text", words, Path("elsewhere"))[0] == "image"
    for prompt in (Path("~/photo.png"), ("image", Path("~/photo.png"))):
        assert read_prompt(CODECS, "text", prompt)[0][0] == "image"


@pytest.mark.parametrize("name", ["prompts.csv", "prompts.tsv", "prompts.json", "prompts.parquet"])
def test_table_of_prompts_is_not_taken_as_text(tmp_path, name):
    (tmp_path / name).write_text("prompt,label\na seven,7\n")
    message = rf"--prompts is .*{name}, of suffix '.\w+', wanted .txt with a prompt on each line, or .jsonl"
    with pytest.raises(ConfigError, match=message):
        read_prompts(tmp_path / name)
