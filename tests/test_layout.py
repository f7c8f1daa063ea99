"""Code layout: short files, no private imports across packages, and descriptive names."""

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for package in ("mot_lightning", "datamodules") for path in (ROOT / package).rglob("*.py"))
VAGUE_NAMES = {"own", "found", "made", "told", "wanted"}


def lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def test_files_are_short():
    long = {str(path.relative_to(ROOT)): lines(path) for path in FILES if lines(path) > 260}
    assert not long
    assert statistics.median(lines(path) for path in FILES if path.name != "__init__.py") <= 80


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_has_a_docstring_and_no_private_imports_across_packages(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    # the files directly in mot_lightning/ count as packages
    place = path.relative_to(ROOT).with_suffix("").parts
    package = ".".join(place if len(place) == 2 else place[:-1])
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.startswith(("mot_lightning", "datamodules"))
        ):
            other_package = not node.module.startswith(package)
            private = [alias.name for alias in node.names if alias.name.startswith("_")]
            assert not (other_package and private), f"{path}: {private} of {node.module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_variable_names_are_descriptive(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    assert not bound & VAGUE_NAMES
