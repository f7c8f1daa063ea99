"""Records from the docstrings of installed packages: real English text that needs no download."""

import ast
import importlib.util
import inspect
import warnings
from collections.abc import Iterator
from pathlib import Path

from datamodules.sources.base import Record, Source
from datamodules.sources.text import cut
from mot_lightning.errors import require

PACKAGES = ("numpy", "sklearn")


class Docstrings(Source):
    """Docstrings of modules, classes and functions. Their files are parsed; nothing is imported or executed.

    The columns are `text`, `name`, such as "numpy.linalg.norm", and `file`, for `split_by`. Texts that occur twice are
    one record.

    Args:
        packages: names of installed packages, of the standard library too.
        min_length: characters of a docstring; shorter ones are left out.
        max_length: characters of a record. A longer docstring is cut, at white space where there is any.
    """

    def __init__(self, packages: tuple[str, ...] = PACKAGES, min_length: int = 40, max_length: int = 200) -> None:
        require("data.source.packages", list(packages), "at least one name", bool(packages))
        require("data.source.max_length", max_length, "at least 1", max_length >= 1)
        self.packages, self.min_length, self.max_length = packages, min_length, max_length
        self.records: list[dict[str, str]] = []

    def setup(self) -> None:
        if self.records:
            return
        seen: set[str] = set()
        for package in self.packages:
            for path, file in _files(package):
                for name, text in _docstrings(path, file):
                    if len(text) >= self.min_length and text not in seen:
                        seen.add(text)
                        pieces = cut(text, self.max_length)
                        self.records += [{"text": piece, "name": name, "file": file} for piece in pieces]
        if not self.records:
            names = ", ".join(self.packages)
            raise ValueError(f"data.source.packages is {names}, wanted some with docstrings")

    def __len__(self) -> int:
        return len(self.records)

    def record(self, index: int) -> Record:
        return self.records[index]


def _files(package: str) -> Iterator[tuple[Path, str]]:
    """The Python files of a package, sorted, and their names relative to the folder that it is in."""
    # of a name with a dot, the packages around it would be imported
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None:
        raise ValueError(f"data.source.packages names {package!r}, wanted installed packages")
    for folder in map(Path, spec.submodule_search_locations or ()):
        for path in sorted(folder.rglob("*.py")):
            if "tests" not in path.relative_to(folder).parts:  # they say little, and are half of the files
                yield path, path.relative_to(folder.parent).as_posix()
    if not spec.submodule_search_locations and spec.origin and spec.origin.endswith(".py"):
        yield Path(spec.origin), Path(spec.origin).name


def _docstrings(path: Path, file: str) -> Iterator[tuple[str, str]]:
    """Name and text of each docstring of a file; none if it is no Python of this version."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in the strings of others
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    waiting: list[tuple[str, ast.AST]] = [(module, tree)]
    while waiting:
        name, node = waiting.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text:
                yield name, inspect.cleandoc(text).encode(errors="ignore").decode()
        children = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
        waiting += [(f"{name}.{child.name}" if hasattr(child, "name") else name, child) for child in reversed(children)]
