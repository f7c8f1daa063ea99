"""What a terminal shows of an evaluation card."""

from mot_lightning.evaluation.card import summary
from mot_lightning.evaluation.rows import Row

ROWS = [
    Row("losses", "text", "bits per byte", 0.357, 300, 0.351, 0.364),
    Row("times", "image", "t 0.0 to 0.1", 2.036, 50),
    Row("codecs", "image", "PSNR, dB", 20.5, 200),
    Row("tasks", "text -> image", "fid[digits]", 23.26, 12, note="of few samples"),
]


def test_summary_has_losses_and_tasks_and_names_the_other_tables():
    assert summary(ROWS) == [
        "of         quantity  value  2.5 %  97.5 %    n",
        "----------------------------------------------",
        "text  bits per byte  0.357  0.351   0.364  300",
        "",
        "of                quantity  value  2.5 %  97.5 %   n",
        "----------------------------------------------------",
        "text -> image  fid[digits]  23.26                 12",
        "",
        "- text -> image fid[digits]: of few samples",
        "- also in the card: losses by time, from data (0) to noise (1); media after their codec",
    ]


def test_summary_of_two_tables_names_no_others():
    assert summary(ROWS[::3])[-1] == "- text -> image fid[digits]: of few samples"
