"""Documents that are longer than a row: refused, left out, or split into pieces that fit.

Knows segments and lengths; counting is left to `counts.py`, packing to `sequence/`.
"""

from collections.abc import Sequence
from typing import Literal

from mot_lightning.errors import BadMedia
from mot_lightning.seeds import mix
from mot_lightning.sequence import Grammar, Piece, Segment

TooLong = Literal["refuse", "skip", "split"]
REASON = "too long"  # by which such documents are counted


def fit(
    document: Sequence[Segment], grammar: Grammar, row_length: int, policy: TooLong, modality: list[str]
) -> list[Piece]:
    """The pieces of a document that is split; none if it fits a row, or if packing is to refuse it.

    Args:
        modality: takes the name of what is too long.

    Raises:
        BadMedia: it is to be left out, or a segment that cannot be split does not fit a row.
    """
    length = grammar.length(document)
    if policy == "refuse" or length <= row_length:
        return []
    if policy == "skip":
        modality.append(max(document, key=lambda segment: len(segment.tokens)).modality)
        raise BadMedia(f"it has {length} tokens, wanted at most {row_length}, data.row_length", REASON)
    return split(document, grammar, row_length, modality)


def split(document: Sequence[Segment], grammar: Grammar, row_length: int, modality: list[str]) -> list[Piece]:
    """Pieces of a document that fit a row, which are filled in order; together they hold each token once.

    Text and other ids that are learned in their order are cut anywhere, all other segments stay whole. Arguments and
    errors are those of `fit`.
    """
    pieces = [Piece()]
    for segment in document:
        rest, start = segment, 0  # what is left of the segment, and where that begins
        while (room := row_length - grammar.length(pieces[-1]) - 2) < (n := len(rest.tokens)):
            if room > 0 and _may_be_cut(grammar, segment.modality):
                pieces[-1].append(_part(segment, start, start + room))
                pieces[-1].cut = True
                start += room
                rest = _part(segment, start, start - room + n)
            elif not pieces[-1]:
                modality.append(segment.modality)
                message = f"{segment.modality} has {n} tokens, which are not split, wanted at most {room}"
                raise BadMedia(f"{message} for data.row_length {row_length}", REASON)
            pieces.append(Piece())
        pieces[-1].append(rest)
    for piece in pieces:
        piece.begins, piece.ends = piece is pieces[0], piece is pieces[-1]
    return pieces


def _may_be_cut(grammar: Grammar, name: str) -> bool:
    return grammar.stop(name) is not None and grammar.tokens[name].length is None


def _part(segment: Segment, start: int, stop: int) -> Segment:
    """Some tokens of a segment; the first part has the segment's seed, each other one of its own."""
    return segment._replace(
        tokens=segment.tokens[start:stop],
        extra_bytes=segment.extra_bytes * (stop - start) / len(segment.tokens),
        seed=mix(segment.seed, start) if start and segment.seed is not None else segment.seed,
    )
