"""Bad inputs of each modality: read, skipped and counted, or refused in one line."""

import json
from collections import Counter
from itertools import islice

import pytest
from bad_files import CELLS, IMAGES, READ, SOUNDS, TEXTS, table_of
from bad_members import MEMBERS, shard_of
from digit_documents import Loudness
from runs import TINY, rows, run, run_in_subprocess

from datamodules import Records
from datamodules.columns import AudioColumn, ImageColumn, TextColumn
from datamodules.documents import DocumentSettings
from datamodules.sampler import SampleIndex
from datamodules.sources import Table, WebDataset
from mot_lightning.codecs import Bytes, Patches
from mot_lightning.errors import BadMedia, BadRecord
from mot_lightning.modality import tokens_of
from mot_lightning.sequence import Grammar, Tokens

CODECS = {"text": Bytes(), "image": Patches((3, 8, 8), 4), "speech": Loudness()}
TOKENS = {"text": tokens_of(CODECS["text"]), "image": tokens_of(CODECS["image"]), "speech": Tokens(vocab_size=8)}
INPUTS = {
    "image": (ImageColumn("file", (3, 8, 8)), IMAGES, ()),
    "speech": (AudioColumn("file", 8000), SOUNDS, ()),
    "text": (TextColumn("text"), (), CELLS),
    "texts": (TextColumn("file"), TEXTS, ()),
    "members": (ImageColumn("png", (3, 8, 8)), (), ()),
}
MODALITIES = {name: {"texts": "text", "members": "image"}.get(name, name) for name in INPUTS}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folders = {name: tmp_path_factory.mktemp(name) for name in INPUTS}
    of_tables = {name: table_of(folders[name], *inputs) for name, (_, *inputs) in INPUTS.items() if any(inputs)}
    return of_tables | {"members": shard_of(folders["members"])}


def records(tables, name, policy="skip", **settings):
    modality, column, path = MODALITIES[name], INPUTS[name][0], tables[name][0]
    source = WebDataset(path) if name == "members" else Table(path, files={"file": "."})
    data = Records(
        source, {modality: column}, {modality: 1.0}, val=0, test=0, bad_records=policy, row_length=1500, batch_size=4,
        document_settings=DocumentSettings(condition_dropout=0), **settings,
    )  # fmt: skip
    data.setup("fit")
    tokens = {n: TOKENS[n] for n in {"text", modality}}
    causal = {n: n != "image" for n in tokens}
    data.connect({n: CODECS[n] for n in tokens}, Grammar(tokens, causal, "text", sorted(tokens)))
    return data


def expected(tables, name):
    """Modality and reason of each record; empty for one that is read."""
    modality = MODALITIES[name]
    parts = [outcome.rpartition("/") for outcome in tables[name][1]]
    return [(where or modality, reason) if reason != READ else () for where, _, reason in parts]


def test_there_are_enough_inputs():
    assert min(len(IMAGES), len(SOUNDS), len(CELLS) + len(TEXTS), len(MEMBERS)) >= 20


@pytest.mark.parametrize("name", [*INPUTS])
def test_each_input_is_read_or_skipped_for_its_reason(tables, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = records(tables, name)
    documents, outcomes = data.documents("train"), expected(tables, name)
    for item, index in enumerate(data.indices["train"]):
        document = documents[SampleIndex(item, item)]
        skipped = (document.skipped.modality, document.skipped.reason) if document.skipped else ()
        assert skipped == outcomes[index], (index, document.skipped)
        assert bool(document.skipped) != bool(len(document))
        assert documents.length(SampleIndex(item, item)) == len(documents.collate([document]).layout.slot)
        assert document.skipped is None or "\n" not in document.skipped.message
    assert not [*tmp_path.iterdir()]  # nothing is unpickled or extracted


@pytest.mark.parametrize(
    ("name", "workers", "ranks"),
    [("image", 2, 1), ("image", 0, 2), ("speech", 0, 1), ("text", 2, 2), ("texts", 0, 2), ("members", 2, 2)],
)
def test_counts_are_exact_on_any_number_of_workers_and_ranks(tables, name, workers, ranks):
    counts, seen = Counter(), 0
    for rank in range(ranks):
        data = records(tables, name, num_workers=workers)
        size = data.size("train")
        loader = data._loader("train", data._order(lambda: 0, rank, ranks))
        numbers = []
        for batch in islice(loader, -(-size // (4 * ranks))):
            numbers += batch.step.numbers.tolist()
            counts.update((one.modality, one.reason) for one in batch.skipped if _number(one) < size)
        seen += sum(number < size for number in numbers)
    assert seen == size
    assert counts == Counter(filter(None, expected(tables, name)))


def _number(skipped):
    return int(skipped.message.split()[2].rstrip(":"))


def test_a_batch_of_bad_documents_only_has_no_loss(tables):
    data = records(tables, "image")
    bad = [i for i, index in enumerate(data.indices["train"]) if tables["image"][1][index] != READ]
    documents = data.documents("train")
    batch = documents.collate([documents[SampleIndex(i, i)] for i in bad[:3]])
    assert len(batch.skipped) == 3
    assert all(not part.weight.any() for part in batch.by_modality.values())
    assert int(batch.layout.document.max()) == 2


@pytest.mark.parametrize("workers", [0, 1])
def test_fail_names_the_file_in_one_line(tmp_path, workers):
    table, _ = table_of(tmp_path, [("plain.png", IMAGES[0][1], READ), ("broken.png", b"nothing", "unreadable")])
    data = records({"image": (table, [])}, "image", "fail", num_workers=workers)
    with pytest.raises(BadRecord) as refusal:
        list(islice(data.train_dataloader(), 1))
    assert str(refusal.value).startswith("train document ")
    assert "broken.png is not a readable image" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_fail_names_a_file_that_is_missing_before_any_work(tables):
    with pytest.raises(BadMedia, match=r"record 12, names 'absent.png', which is no file"):
        records(tables, "image", "fail")


def test_codecs_and_tasks_see_good_media_only(tables):
    data = records(tables, "image")
    media = data.media("image", "train")
    assert all(medium.shape == (3, 8, 8) for medium in (media[i] for i in range(len(media))))


MEDIA = {
    "image": {"class_path": "ImageColumn", "init_args": {"column": "file", "shape": [3, 8, 8]}},
    "text": {"class_path": "TextColumn", "init_args": {"templates": ["a picture"]}},
}


def arguments(folder, *bad):
    files = [(f"{i}.png", IMAGES[0][1], READ) for i in range(40)]
    table, _ = table_of(folder / "corpus", [*files, *bad])
    return [
        "--data=Records", "--data.source=Table", f"--data.source.path={table}", "--data.source.files={file: .}",
        f"--data.media={json.dumps(MEDIA)}",
        "--data.documents={text+image: 1.0}", "--data.val=0.05", "--data.test=0.05",
        "--model.modalities.speech=null", "--model.modalities.image.codec.patch_size=4", *TINY,
    ]  # fmt: skip


BAD = [("a.png", b"nothing", ""), ("b.png", b"", ""), ("c.png", None, ""), ("d.png", IMAGES[7][1], "")]


def test_a_run_counts_what_it_skips_also_when_it_is_resumed(tmp_path, capsys):
    policy = ["--data.bad_records=skip", "--data.max_bad_fraction=0.5"]
    settings = [*arguments(tmp_path, *BAD), *policy, "--model.optimizer.schedule=constant", "--trainer.max_steps=12",
                "--trainer.val_check_interval=6"]  # fmt: skip
    assert run(tmp_path, "fit", *settings) == 0
    output = capsys.readouterr().out
    last = [row for row in rows(tmp_path / "default/0") if "train/loss" in row][-1]
    counts = {name: float(value) for name, value in last.items() if name.startswith("train/skipped/")}
    assert counts["train/skipped/Records/image/unreadable"] > 0
    assert counts["train/skipped/Records/image/missing"] > 0
    assert f"skipped {sum(counts.values()):.0f} of 48 training documents: Records image missing" in output
    assert run(tmp_path, "fit", *settings, "--trainer.max_steps=7") == 0
    checkpoint = tmp_path / "default/1/checkpoints/last.ckpt"
    assert run(tmp_path, "fit", f"--ckpt_path={checkpoint}", "--trainer.max_steps=12") == 0
    resumed = [row for row in rows(tmp_path / "default/2") if "train/loss" in row][-1]
    assert {name: resumed[name] for name in counts} == {name: last[name] for name in counts}


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_a_run_that_is_stopped_and_goes_on_with_other_ranks_and_workers_is_the_whole_one(tmp_path):
    """Losses of training and validation, and counts of what was skipped."""
    settings = [
        *arguments(tmp_path, *BAD), "--data.val=0.2", "--data.test=0",
        "--data.bad_records=skip", "--data.max_bad_fraction=0.5",
        "--model.optimizer.schedule=constant", "--model.backbone.dropout=0", "--trainer.precision=64-true",
        "--trainer.accelerator=cpu", "--trainer.val_check_interval=2", "--trainer.limit_val_batches=1.0",
    ]  # fmt: skip
    assert run(tmp_path / "whole", "fit", *settings, "--data.batch_size=12", "--trainer.max_steps=8") == 0
    parts: list[dict[str, str]] = []
    for i, (ranks, workers) in enumerate([(1, 0), (2, 2), (4, 5), (3, 0)]):
        of_part = [
            f"--trainer.devices={ranks}", f"--data.num_workers={workers}", f"--data.batch_size={12 // ranks}",
            f"--trainer.max_steps={2 * i + 2}", f"--runs={tmp_path / 'parts'}",
        ]  # fmt: skip
        run_in_subprocess("-m", "mot_lightning", "fit", *settings, *of_part, cwd=tmp_path)
        folder = tmp_path / f"parts/default/{i}"
        settings = [f"--ckpt_path={folder / 'checkpoints/last.ckpt'}"]
        parts += [row for row in rows(folder) if int(row["step"]) > 2 * i]
    whole = [row for row in rows(tmp_path / "whole/default/0") if "test/loss" not in row]
    parts = [row for row in parts if "test/loss" not in row]
    assert len(whole) == 8 + 4
    for one, other in zip(whole, parts, strict=True):
        assert one.keys() == other.keys()
        for name in (name for name in one if "loss" in name or "skipped" in name):
            assert float(one[name]) == pytest.approx(float(other[name]), rel=1e-6), (one["step"], name)
    assert float(parts[-2]["train/skipped/Records/image/missing"]) > 0


def test_too_many_bad_records_end_a_run_in_one_line(tmp_path, capsys):
    bad = [(f"bad{i}.png", b"nothing", "") for i in range(40)]
    settings = [*arguments(tmp_path, *bad), "--data.bad_records=skip", "--trainer.max_steps=30"]
    assert run(tmp_path, "fit", *settings, "--data.num_workers=1", "--data.max_bad_fraction=0.05") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: data.max_bad_fraction is 0.05, but ")
    assert "is not a readable image" in error


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_breaks_late_in_training_ends_a_run_in_one_line(tmp_path, capsys, workers):
    spoil = {"class_path": "spoiling.Spoil", "init_args": {"folder": str(tmp_path / "corpus/root")}}
    settings = [*arguments(tmp_path), "--allow=spoiling", f"--trainer.callbacks={json.dumps([spoil])}"]
    assert run(tmp_path, "fit", *settings, f"--data.num_workers={workers}", "--trainer.max_steps=9") == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert ".png is not a readable image" in error[0]
