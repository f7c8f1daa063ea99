"""Captions drawn on pictures: shortened, wrapped, and in characters that an installed font has."""

import textwrap
import unicodedata
from functools import cache

from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

# of Chinese, Japanese and Korean, on Linux, macOS and Windows
CJK = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Noto Sans SC", "Noto Sans JP", "Source Han Sans SC",
    "Source Han Sans", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "IPAexGothic", "NanumGothic",
    "PingFang SC", "Hiragino Sans GB", "Hiragino Sans", "Arial Unicode MS", "Microsoft YaHei", "SimHei", "Yu Gothic",
    "MS Gothic", "Malgun Gothic", "Unifont",
)  # fmt: skip


def families() -> list[str]:
    """Font families for captions: matplotlib's default, which has no CJK, then an installed one that has, if any."""
    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *[name for name in CJK if name in installed][:1]]


@cache
def _characters(family: str) -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=[family]))).get_charmap())


def fit(caption: str, width: int, lines: int) -> str:
    r"""The caption on a few lines, cut with "…"; characters that no font has become their codes, such as "\u4e03".

    Args:
        width: of a line, in letters; CJK characters count as two.
        lines: how many at most.
    """
    known = frozenset().union(*map(_characters, families()))
    words = "".join(
        character if character == " " or (character.isprintable() and ord(character) in known) else _code(character)
        for character in " ".join(caption.split())
    )
    wide = any(unicodedata.east_asian_width(character) in "WF" for character in words)
    limit = max(2, width // 2 if wide else width)
    wrapped = textwrap.wrap(words, limit, break_on_hyphens=False)
    if len(wrapped) > lines:
        wrapped = [*wrapped[: lines - 1], wrapped[lines - 1][: limit - 1] + "…"]
    return "\n".join(wrapped)


def _code(character: str) -> str:
    """A character's code as a word, so that no line ends within it."""
    return f" {character.encode('unicode_escape').decode()} "
