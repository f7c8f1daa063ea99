"""An inspection as a page: documents as coloured segments with their media, lengths, and the attention of one row.

Knows HTML and pictures; the numbers are left to `inspect.py`.
"""

import html
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from mot_lightning.analysis.inspect import Inspection
from mot_lightning.backbone.attention import attention_mask
from mot_lightning.media.html import Piece, facts, figure, grid, page, section, table
from mot_lightning.runs.curves import histogram
from mot_lightning.sequence import Grammar, InterleavedBatch, Segment

COLOURS = ("#0b62c4", "#c2410c", "#2f7d4f", "#8250df", "#b3882c", "#b3382c")  # of modalities, in order
CONTROL = "#8c959f"
LONGEST = 2048  # tokens of a picture


def write_inspection(
    folder: Path,
    title: str,
    inspection: Inspection,
    documents: Sequence[tuple[Sequence[Segment], Sequence[Piece | None]]],
    batch: InterleavedBatch,
    grammar: Grammar,
    codecs: Mapping[str, str],
) -> Path:
    """Write `index.html` and `attention.png` into a folder; returns the page.

    Args:
        documents: segments of the documents to show, and their media in files.
        batch: whose first row is shown.
        codecs: what made the tokens of each modality.
    """
    colours = dict(zip(grammar.names, cycle(COLOURS), strict=False))
    mask = folder / "attention.png"
    draw_attention(batch, grammar, colours).save(mask)
    cells = [_document(segments, pieces, colours) for segments, pieces in documents]
    legend = " ".join(f'<b style="color:{colour}">{html.escape(name)}</b>' for name, colour in colours.items())
    clean = "Pale segments are clean context, without a loss. Media are decoded from their tokens."
    path = folder / "index.html"
    path.write_text(
        page(
            title,
            "\n".join(
                [
                    facts([*inspection.facts(), *codecs.items()]),
                    section("Tokens", table(inspection.table())),
                    *([section("Skipped", table(inspection.skipped_table()))] if inspection.skipped else []),
                    section("Lengths", grid([histogram(inspection.lengths, "tokens of a document", "documents")], 26)),
                    section("Documents", f'<p class="note">{legend}. {clean}</p>\n{grid(cells, 60)}'),
                    section(
                        "Attention",
                        '<p class="note">The first packed row: a line is a token that attends to the coloured columns,'
                        f" in the colour of what it sees; grey are control tokens.</p>\n{figure(mask)}",
                    ),
                ]
            ),
        ),
        encoding="utf-8",
    )
    return path


def _document(segments: Sequence[Segment], pieces: Sequence[Piece | None], colours: Mapping[str, str]) -> str:
    bar = "".join(
        f'<div style="flex:{len(segment.tokens)};background:{colours[segment.modality]};'
        f'opacity:{1 if segment.loss else 0.35};height:.8rem" title="{len(segment.tokens)} tokens"></div>'
        for segment in segments
    )
    media = "".join(
        figure(piece.file, f"{piece.modality}, {len(segment.tokens)} tokens")
        for segment, piece in zip(segments, pieces, strict=True)
        if piece
    )
    return (
        f'<div class="card"><div style="display:flex;gap:2px;margin-bottom:.6rem">{bar}</div>'
        f'<div class="row">{media}</div></div>'
    )


def draw_attention(batch: InterleavedBatch, grammar: Grammar, colours: Mapping[str, str]) -> PIL.Image.Image:
    """The mask of a batch's first row, (s, s): the colour of what a token attends to, white for what it does not.

    Of a longer row, the first `LONGEST` tokens.
    """
    layout = batch.layout
    s = min(LONGEST, layout.document.shape[1])
    row = {name: getattr(layout, name)[:1, :s] for name in ("document", "position", "last_visible")}
    seen = attention_mask(layout._replace(**row))[0, 0].numpy()  # (s, s)
    palette = np.zeros((s, 3), np.uint8)
    slots = layout.slot.split(list(layout.counts))
    for name, slots_of_name in zip(grammar.groups, slots, strict=True):
        is_control = batch.by_modality[name].segment.numpy() < 0
        for slot, control in zip(slots_of_name.tolist(), is_control, strict=True):
            if slot < s:
                palette[slot] = _rgb(CONTROL if control else colours[name])
    used = layout.document[0, :s].numpy() >= 0
    seen = seen & used[:, None] & used
    pixels = np.where(seen[..., None], palette[None], np.uint8(255))  # (s, s, 3)
    scale = max(1, 768 // s)
    return PIL.Image.fromarray(pixels).resize((scale * s, scale * s), PIL.Image.Resampling.NEAREST)


def _rgb(colour: str) -> Any:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
