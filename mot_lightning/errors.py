"""Errors as one-line messages: bad input, with the actual and the expected value, and files that cannot be written."""

import re
from typing import Any, TextIO

# C0 and C1 controls but tab and newline, what reorders or splits a line (Trojan Source, CVE-2021-42574), and halves of
# characters, as a file's name of other bytes than UTF-8 has
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class ConfigError(ValueError):
    """Bad input that a user can correct; commands print it as one line and exit with code 2."""


class BadMedia(ValueError):
    """A medium that cannot be used.

    Attributes:
        reason: a word or two, by which such media are counted.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:  # exceptions are pickled by their message alone
        return type(self), (str(self), self.reason)


class BadRecord(ConfigError):
    """A record that cannot be used, where `bad_records` is fail.

    A worker process passes its message on after a traceback, which is left out.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.rpartition("BadRecord: ")[2].split()))


class NotWritten(Exception):
    """A file could not be written; commands print it as one line and exit with code 1."""


def require(name: str, value: Any, requirement: str, fits: bool) -> None:
    """Raises ValueError "{name} is {value}, wanted {requirement}" unless `fits` is true."""
    if not fits:
        raise ValueError(f"{name} is {value!r}, wanted {requirement}")


def escaped(text: str) -> str:
    r"""A text whose control characters are shown, as in \x1b, but for tabs and newlines."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def say(*lines: str, end: str = "\n", file: TextIO | None = None, flush: bool = False) -> None:
    """Print lines that may hold names of files, captions or tokens, whose control characters are shown."""
    print(*map(escaped, lines), sep="\n", end=end, file=file, flush=flush)


def describe(error: Exception, what: str) -> str:
    """One line about an error: its message if it says which value is wrong, else where it was raised as well."""
    message = " ".join(str(error).partition("Exception raised from")[0].split())  # PyTorch's frames of C++
    if out_of_memory(error):
        return f"{_class_in(error) or what} cannot allocate its memory, wanted smaller sizes: {message}".removesuffix(
            ": "
        )[:300]
    if isinstance(error, ValueError | TypeError) and (re.search(r"\bis\b.*, wanted ", message)):
        return message
    return f"{_class_in(error) or what} failed: {type(error).__name__}: {message}".removesuffix(": ")[:500]


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, or a size is beyond any memory; PyTorch has no class for that on the CPU."""
    signs = "allocate memory|not enough memory|[Ss]torage size|overflow|[Uu]nable to allocate|bad_alloc"
    known = isinstance(error, MemoryError | OverflowError) or type(error).__name__ == "OutOfMemoryError"
    return known or (isinstance(error, RuntimeError) and bool(re.search(signs, str(error))))


def _class_in(error: Exception) -> str:
    """The name of the class whose `__init__` was running, the innermost that is no library's parser."""
    name, trace = "", error.__traceback__
    while trace:
        code, instance = trace.tb_frame.f_code, trace.tb_frame.f_locals.get("self")
        package = type(instance).__module__.partition(".")[0]
        if code.co_name in ("__init__", "__post_init__") and package not in ("jsonargparse", "argparse", "torch"):
            name = type(instance).__name__
        trace = trace.tb_next
    return name if not name.endswith("CLI") else ""
