"""`inspect` on a small model."""

import json

import pytest
from runs import ROOT, TINY
from tiny_networks import save_siglip

from mot_lightning.cli.main import main


def test_page_and_table_of_the_documents_of_a_run(tmp_path, capsys):
    main(["inspect", *TINY, "--documents=12", f"--out={tmp_path / 'page'}"])
    output = capsys.readouterr().out
    assert "documents: 12" in output
    assert f"page:    {tmp_path / 'page/index.html'}" in output
    lines = {line.split()[0]: line.split() for line in output.splitlines() if line and line[0] != " "}
    assert int(lines["image"][2]) == 16 * int(lines["image"][1])  # of 4 x 4 patches each
    page = (tmp_path / "page/index.html").read_text()
    assert page.count('class="card"') == 8
    assert {".txt", ".png", ".wav"} <= {path.suffix for path in (tmp_path / "page").iterdir()}


def test_batches_by_tokens_are_those_of_training(tmp_path, capsys):
    main(["inspect", *TINY, "--data.tokens=300", "--documents=100", f"--out={tmp_path / 'page'}"])
    fewest, mean, most = map(
        float, capsys.readouterr().out.partition("fewest, mean, most: ")[2].split("\n")[0].split(",")
    )
    assert 300 // 77 <= fewest < mean < most


def test_documents_are_those_that_training_begins_with(tmp_path, capsys):
    tables = []
    for seed, number in ((0, 0), (0, 1), (1, 2)):
        main(["inspect", *TINY, f"--seed={seed}", "--documents=20", f"--out={tmp_path / str(number)}"])
        tables.append(capsys.readouterr().out.partition("page:")[0])
    assert tables[0] == tables[1] != tables[2]


SHAKESPEARE = [f"--config={ROOT / 'conf/tiny_shakespeare.yaml'}", *TINY, "--data.row_length=120"]


def test_documents_that_are_skipped_or_split_are_said(tmp_path, capsys):
    main(["inspect", *SHAKESPEARE, "--data.too_long=skip", "--documents=40", f"--out={tmp_path / 'skip'}"])
    output = capsys.readouterr().out
    skipped = int(output.partition("documents skipped: ")[2].split()[0])
    assert 0 < skipped < 40
    line = next(line for line in output.splitlines() if "too long" in line)
    assert line.split()[:5] == ["Records", "text", "too", "long", str(skipped)]
    assert "too long" in (tmp_path / "skip/index.html").read_text()
    main(["inspect", *SHAKESPEARE, "--data.too_long=split", "--documents=40", f"--out={tmp_path / 'split'}"])
    output = capsys.readouterr().out
    assert f"documents split in pieces: {skipped}" in output
    assert "documents skipped" not in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*TINY, "--documents=0"], "--documents is 0, wanted at least 1"),
        (["--config=conf/codec/vq.yaml"], "model.codec is given"),
        ([*TINY, f"--out={ROOT / 'conf'}"], f"--out {ROOT / 'conf'} exists, wanted a new or empty folder"),
        ([*TINY, f"--out={ROOT / 'conf/default.yaml/x'}"], "wanted a folder to write to"),
    ],
)
def test_bad_options_are_refused(capsys, arguments, message):
    with pytest.raises(SystemExit, match="2"):
        main(["inspect", *arguments])
    assert message in capsys.readouterr().err


def test_features_that_cannot_be_decoded_are_counted_and_not_shown(tmp_path, capsys):
    save_siglip(tmp_path / "siglip")
    view = {"codec": {"class_path": "ImageFeatures", "init_args": {"name_or_path": str(tmp_path / "siglip")}},
            "objective": "Observed"}  # fmt: skip
    settings = [f"--model.modalities.view={json.dumps(view)}", "--data.seen_as={image: view}"]
    main(["inspect", *TINY, *settings, "--documents=12", f"--out={tmp_path / 'page'}"])
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("view"))
    segments, tokens, shown_clean = (line.split()[i] for i in (1, 2, 5))
    assert int(tokens) == 16 * int(segments) > 0
    assert float(shown_clean) == 1
    assert not list((tmp_path / "page").glob("*_view.*"))
    assert list((tmp_path / "page").glob("*_image.png"))
