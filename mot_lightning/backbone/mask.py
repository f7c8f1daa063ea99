"""Who sees whom: the rule of the global attention, as an explicit mask."""

from torch import Tensor

from mot_lightning.sequence import Layout


def attention_mask(layout: Layout) -> Tensor:
    """(b, 1, s, s) bool, True where the query (third axis) may see the key (fourth).

    A token sees its own document up to its reach: itself, or the end of its segment where that is bidirectional
    (Transfusion, section 3.1). Padding sees padding, so that no softmax runs over nothing.
    """
    same_document = layout.document[:, :, None] == layout.document[:, None, :]  # (b, s, s)
    within_reach = layout.position[:, None, :] <= layout.reach[:, :, None]  # (b, s, s)
    return (same_document & within_reach)[:, None]
