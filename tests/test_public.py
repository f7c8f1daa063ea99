"""What `import mot_lightning as mot` gives."""

from importlib import import_module
from importlib.metadata import version

import pytest
from runs import run_in_subprocess

import mot_lightning as mot


def test_every_public_name_is_the_object_of_its_home():
    for name in set(mot.__all__) - {"__version__"}:
        exported = getattr(mot, name)
        assert getattr(import_module(exported.__module__), name) is exported
    assert set(dir(mot)) == set(mot.__all__)
    assert mot.__version__ == version("mot_lightning")


def test_all_shipped_codecs_and_objectives_are_public():
    for package in ("codecs", "objectives"):
        assert set(import_module(f"mot_lightning.{package}").__all__) <= set(mot.__all__)


def test_unknown_name_raises_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Pipeline'"):
        mot.Pipeline  # noqa: B018


def test_import_alone_loads_no_torch(tmp_path):
    program = "import sys, mot_lightning; print('torch' in sys.modules)"
    assert run_in_subprocess("-c", program, cwd=tmp_path) == "False\n"
