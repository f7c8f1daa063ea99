"""`evaluate` on a tiny run."""

import json

import pytest
from runs import run

OPTIONS = ["--prompts=12", "--shown=2"]


@pytest.fixture(scope="module")
def evaluate(trained, tmp_path_factory):
    """Evaluate the tiny run into a folder of its own; returns the folder."""

    def evaluated(*arguments):
        folder = tmp_path_factory.mktemp("card")
        checkpoint = f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"
        assert run(folder, "evaluate", checkpoint, f"--out={folder / 'card'}", *arguments) == 0
        return folder / "card"

    return evaluated


@pytest.fixture(scope="module")
def card(evaluate):
    return evaluate(*OPTIONS)


def rows_of(card):
    rows = json.loads((card / "card.json").read_text())["rows"]
    return {(row["section"], row["of"], row["quantity"]): row for row in rows}


def test_losses_are_those_of_test_with_intervals_around_them(tmp_path, trained, card):
    checkpoint = f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"
    assert run(tmp_path, "test", checkpoint, "--trainer.limit_test_batches=1.0", "--report.prompts=0") == 0
    tested, rows = json.loads((tmp_path / "default/0/metrics.json").read_text()), rows_of(card)
    for name, quantity, key in (
        ("text", "bits per byte", "bits_per_byte"),
        ("text", "nats/token", "loss"),
        ("speech", "perplexity", "perplexity"),
        ("image", "loss", "loss"),
    ):
        row = rows["losses", name, quantity]
        assert row["value"] == pytest.approx(tested[f"test/{name}/{key}"], rel=1e-5)
        assert row["low"] < row["value"] < row["high"]
        assert row["samples"] > 100


def test_tasks_have_their_metrics_guided_and_of_real_media(card):
    rows = rows_of(card)
    assert rows["tasks", "text -> image", "judge_accuracy"]["samples"] == 12
    assert rows["tasks", "text -> image", "judge_accuracy, guided"]["samples"] == 12
    assert rows["tasks", "text -> image", "judge_accuracy, real"]["value"] == 1
    assert "not comparable" in rows["tasks", "text -> image", "fid[digits]"]["note"]


def test_losses_given_another_modality_and_by_time(card):
    rows = rows_of(card)
    for pair, unit in (("text | image", "nats/token"), ("image | text", "loss")):
        given, alone, gain = (
            rows["conditional", pair, quantity] for quantity in (unit, f"{unit} alone", "alone - given")
        )
        assert gain["value"] == pytest.approx(alone["value"] - given["value"], abs=1e-6)
        assert given["samples"] > 50
        assert gain["high"] - gain["low"] < alone["high"] - alone["low"]  # pairs have much in common
    times = [row["value"] for key, row in rows.items() if key[0] == "times"]
    assert len(times) == 11
    assert min(times) < times[-1] < max(times)
    assert "<svg" in (card / "index.html").read_text()


def test_two_calls_give_the_same_files(evaluate, card):
    def files(folder):
        words = str(folder.parent)  # the command names the folder
        return {
            str(path.relative_to(folder)): path.read_bytes().replace(words.encode(), b"")
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    first = files(card)
    assert {"card.json", "card.md", "index.html"} < first.keys()
    assert files(evaluate(*OPTIONS)) == first


def test_page_has_samples_and_the_card_says_what_made_it(card):
    page = (card / "index.html").read_text()
    assert page.count('class="card') == 7 * 2  # five tasks, two of them guided, too: two samples of each
    assert "<audio" in page
    assert "<img" in page
    made = json.loads((card / "card.json").read_text())
    assert made["command"].startswith("python -m mot_lightning evaluate --ckpt_path=")
    assert made["weights"] == "averaged"
    assert made["samplers"]["image"]["steps"] > 1
    assert len(made["checkpoint"]["sha256"]) == len(made["config_sha256"]) == 64


def test_the_card_names_what_judges_media(card):
    extractors = json.loads((card / "card.json").read_text())["extractors"]
    for name, part in (("judge_accuracy", "judge"), ("fid[digits]", "inception"), ("kid[digits]", "extractor")):
        assert len(extractors[f"image/{name}"][part]["sha256"]) == 64
    assert extractors["image/kid[digits]"]["extractor"] == extractors["image/fid[digits]"]["inception"]
    assert extractors["text/image_to_text_accuracy"]["judge"]["class"].endswith("text_judge")


def test_metrics_of_a_config_and_some_alone(evaluate, card):
    chosen = [
        "--report.metrics.image.psnr=torchmetrics.image.psnr.PeakSignalNoiseRatio",
        "--report.metrics.image.psnr.data_range=1.0",
        "--report.metrics.image.clip.class_path=CLIPScore",
        "--report.metrics.image.clip.name_or_path=./nowhere",
    ]
    rows = rows_of(evaluate(*OPTIONS, *chosen, "--metrics=psnr,clip,fid[digits]"))
    measured = {key[1:]: row for key, row in rows.items() if key[0] == "tasks"}
    assert {of for of, _ in measured} == {"text -> image", "speech -> image"}
    assert {name for _, name in measured} == {
        f"{name}{variant}" for name in ("psnr", "clip", "fid[digits]") for variant in ("", ", guided")
    }
    one = measured["text -> image", "psnr"]
    assert one["value"] > 0
    assert one["samples"] == 12
    assert "there is no such folder" in measured["speech -> image", "clip"]["note"]
    same = rows_of(card)["tasks", "text -> image", "fid[digits]"]
    assert measured["text -> image", "fid[digits]"] == same


def test_live_weights_other_splits_and_batch_sizes(evaluate, card):
    others = rows_of(evaluate("--prompts=0", "--weights=live", "--split=val"))
    assert {section for section, _, _ in others} == {"losses", "conditional", "times", "codecs"}
    expected = rows_of(card)["losses", "image", "loss"]
    assert others["losses", "image", "loss"]["value"] != pytest.approx(expected["value"], rel=1e-4)
    same = rows_of(evaluate("--prompts=0", "--data.batch_size=7"))["losses", "image", "loss"]
    assert same["value"] == pytest.approx(expected["value"], rel=1e-5)
    assert same["samples"] == expected["samples"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--split=train", "--split is 'train', wanted test or val"),
        ("--weights=best", "--weights is 'best', wanted averaged or live"),
        ("--prompts=-1", "--prompts is -1, wanted 0 or more"),
        ("--metrics=fdi[digits]", "--metrics has 'fdi[digits]', did you mean fid[digits]?"),
        ("--metrics=", "--metrics has '', wanted some of "),
        ("--guidance=-1", "--guidance is -1, wanted a number of 0 or more"),
        (f"--out={__file__}/x", "wanted a folder to write to"),
    ],
)
def test_bad_options_are_refused(refusal, trained, option, message):
    assert message in refusal("evaluate", f"--ckpt_path={trained}", option)
