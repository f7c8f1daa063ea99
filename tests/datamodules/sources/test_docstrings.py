"""Docstrings of installed packages as records."""

import sys

import pytest

from datamodules.sources import Docstrings

MODULE = '''"""About the module, in some words."""
raise RuntimeError("imported")

class Shape:
    """A shape, of any kind."""

    def area(self):
        """Its area in square metres.

            indented
        as said
        """
        def inner():
            "%s"

if True:
    async def wait():
        """Waits for the next shape."""
        "\\d is no escape"

def short():
    """Short."""
'''


def records(*packages, **settings):
    source = Docstrings(packages, **{"min_length": 10, **settings})
    source.setup()
    return [source.record(i) for i in range(len(source))]


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "talkative"
    (folder / "inner/tests").mkdir(parents=True)
    (folder / "__init__.py").write_text(MODULE % "A function in a function.")
    (folder / "inner/again.py").write_text('"""A shape, of any kind."""\n\ndef other():\n    """Another text."""\n')
    (folder / "inner/tests/test_it.py").write_text('"""A text of a test."""')
    (folder / "inner/broken.py").write_text('"""Not closed')
    (folder / "inner/binary.py").write_bytes(b'"""\xff\x00"""')
    (folder / "inner/half.py").write_text('"""Half a character: \\ud800."""')
    monkeypatch.syspath_prepend(str(tmp_path))
    return "talkative"


def test_docstrings_are_read_without_an_import_and_once_each(package):
    texts = {record["text"]: (record["name"], record["file"]) for record in records(package)}
    assert texts == {
        "About the module, in some words.": ("talkative", "talkative/__init__.py"),
        "A shape, of any kind.": ("talkative.Shape", "talkative/__init__.py"),
        "Its area in square metres.\n\n    indented\nas said": ("talkative.Shape.area", "talkative/__init__.py"),
        "A function in a function.": ("talkative.Shape.area.inner", "talkative/__init__.py"),
        "Waits for the next shape.": ("talkative.wait", "talkative/__init__.py"),
        "Another text.": ("talkative.inner.again.other", "talkative/inner/again.py"),
        "Half a character: .": ("talkative.inner.half", "talkative/inner/half.py"),
    }
    assert package not in sys.modules
    assert records(package) == records(package)


def test_long_docstrings_are_cut_and_keep_their_file(package):
    pieces = [record for record in records(package, max_length=12) if record["name"] == "talkative"]
    assert "".join(piece["text"] for piece in pieces) == "About the module, in some words."
    assert {piece["file"] for piece in pieces} == {"talkative/__init__.py"}


def test_modules_of_the_standard_library_are_packages_too():
    assert any("JavaScript Object Notation" in record["text"] for record in records("json", "textwrap"))
    assert {record["file"].split("/")[0] for record in records("json", "textwrap")} == {"json", "textwrap.py"}


@pytest.mark.parametrize("name", ["no_such_package", "os.path", "../talkative", ""])
def test_a_name_that_is_no_installed_package_is_refused(name):
    with pytest.raises(ValueError, match=r"data.source.packages names .*, wanted installed packages"):
        records(name)


def test_packages_without_docstrings_are_refused(package):
    with pytest.raises(ValueError, match=r"data.source.packages is talkative, wanted some with docstrings"):
        records(package, min_length=1_000)
    with pytest.raises(ValueError, match=r"data.source.packages is \[\], wanted at least one name"):
        records()
