"""Training, inspecting and resuming from a stream of real files."""

from itertools import chain, islice

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest
from runs import TINY, rows, run
from shards import png

from datamodules import Mixture, Records
from datamodules.columns import ImageColumn, TextColumn
from datamodules.documents import DocumentSettings
from datamodules.encoding import check_encodable
from datamodules.sampler import SampleIndex
from datamodules.sources import HuggingFace
from datamodules.streaming import StreamOrder
from mot_lightning.codecs import Bytes, Patches
from mot_lightning.errors import BadRecord
from mot_lightning.modality import tokens_of
from mot_lightning.sequence import Grammar

MEDIA = {"text": TextColumn("caption"), "image": ImageColumn("picture", (1, 4, 4))}
FIRST, FILES, ROWS = 40, 4, 30
PLAIN = {"batch_size": 4, "document_settings": DocumentSettings(condition_dropout=0)}
CONFIG = """
model: {{modalities: {{speech: null, image: {{codec: {{init_args: {{patch_size: 2}}}}}}}}}}
data:
  class_path: Records
  init_args:
    source: {{class_path: HuggingFace, init_args: {{path: {folder}, streaming: true, first: {first}, buffer: 8}}}}
    media:
      text: {{class_path: TextColumn, init_args: {{column: caption}}}}
      image: {{class_path: ImageColumn, init_args: {{column: picture, shape: [1, 4, 4]}}}}
    documents: {{text+image: 0.5, image+text: 0.5}}
"""


@pytest.fixture(autouse=True)
def _caches(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "set", broken=())
    return tmp_path / "set"


def write(folder, broken):
    """Pictures whose grey is their number, with it as a caption."""
    folder.mkdir()
    features = datasets.Features({"caption": datasets.Value("string"), "picture": datasets.Image()})
    for k in range(FILES):
        numbers = range(k * ROWS, (k + 1) * ROWS)
        pictures = [{"bytes": b"none" if i in broken else png(i), "path": None} for i in numbers]
        table = pa.table({"caption": [f"{i}" for i in numbers], "picture": pictures}, schema=features.arrow_schema)
        datasets.Dataset(table).to_parquet(folder / f"train-{k}.parquet")


def streamed(folder, source=(), **settings):
    source = HuggingFace(folder, streaming=True, first=FIRST, buffer=8, **dict(source))
    data = Records(source, MEDIA, {"text+image": 1.0}, val=0.2, test=0.1, **{**PLAIN, **settings})
    data.setup("fit")
    codecs = {"text": Bytes(), "image": Patches((1, 4, 4), 2)}
    tokens = {name: tokens_of(codec) for name, codec in codecs.items()}
    data.connect(codecs, Grammar(tokens, {"text": True, "image": False}, "text", ("image", "text")))
    return data


def captions(loader, count):
    """The numbers of the rows in each of some batches."""
    batches = []
    for batch in islice(iter(loader), count):
        ids = batch.by_modality["text"]
        batches.append(
            [int(n) for n in "".join(chr(i) if chr(i).isdigit() else " " for i in ids.target.tolist()).split()]
        )
    return batches


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("ranks", [1, 2])
def test_an_epoch_has_no_record_twice_and_none_of_the_first(folder, monkeypatch, workers, ranks):
    seen, evaluated = [], []
    for rank in range(ranks):
        monkeypatch.setattr(Records, "_rank", (rank, ranks))
        data = streamed(folder, num_workers=workers)
        seen += chain.from_iterable(captions(data.train_dataloader(), 20 // ranks))
        evaluated += chain.from_iterable(captions(data.val_dataloader(), 2 // ranks))
    assert sorted(seen) == [*range(FIRST, FILES * ROWS)]
    assert len({*evaluated}) == len(evaluated) == data.size("val") == 8
    assert max(evaluated) < FIRST


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_reads_on_and_with_other_workers_or_batches_reads_others(folder, capsys, workers):
    expected = captions(streamed(folder, num_workers=workers).train_dataloader(), 24)
    for batches in (3, 8, 21):
        again = streamed(folder, num_workers=workers)
        again.load_state_dict({**again.state_dict(), "consumed": 4 * batches})
        assert captions(again.train_dataloader(), 3) == expected[batches : batches + 3]
    other = streamed(folder, num_workers=workers and 1, batch_size=5)
    other.load_state_dict({**other.state_dict(), "consumed": 4 * 8})
    assert all(n >= FIRST for batch in captions(other.train_dataloader(), 3) for n in batch)
    assert "exact only with the same files, ranks, workers and batch size" in capsys.readouterr().out


def test_documents_of_a_stream_have_randomness_of_their_own_and_no_end():
    order = StreamOrder(3, 0, lambda: 5, 1, 2)
    assert [*islice(order, 4)] == [SampleIndex(number, number) for number in (6, 8, 10, 12)]


def test_codecs_learn_of_the_first_records(folder):
    numbers = sorted(int(text) for text in streamed(folder).media("text", "train"))
    assert len(numbers) == 30
    assert numbers[-1] < FIRST


def test_bad_records_of_a_stream_are_skipped_and_named(tmp_path):
    write(tmp_path / "bad", broken=range(50, 60))
    batches = islice(iter(streamed(tmp_path / "bad", bad_records="skip").train_dataloader()), 20)
    messages = [one.message for batch in batches for one in batch.skipped]
    assert len(messages) == 10
    assert all("of the stream, picture" in message for message in messages)
    with pytest.raises(BadRecord, match=r"train document \d+: .*bad, record \d+ of the stream, picture"):
        captions(streamed(tmp_path / "bad").train_dataloader(), 20)


def test_what_a_stream_cannot_do_is_refused(folder):
    with pytest.raises(
        ValueError, match=r"data.split_column is 'caption', wanted null: data.source streams, with split"
    ):
        streamed(folder, split_column="caption")
    with pytest.raises(
        ValueError, match=r"data.split_column is None, wanted split: data.source streams, with split null"
    ):
        streamed(folder, {"split": None})
    with pytest.raises(ValueError, match=r"data.split_by is 'caption', wanted null: data.source streams"):
        streamed(folder, split_by="caption")
    with pytest.raises(ValueError, match=r"data.tokens is 9000, wanted null: data.source streams"):
        streamed(folder, tokens=9000)
    data = streamed(folder)
    with pytest.raises(ValueError, match=r"data.sources.a.source streams, wanted one that is stored to mix it"):
        Mixture({"a": data})
    with pytest.raises(ValueError, match=r"data.source streams, wanted one that is stored"):
        check_encodable(data)


def test_commands_train_inspect_and_resume(folder, tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(folder=folder, first=FIRST))
    arguments = [f"--config={config}", *TINY]
    assert run(tmp_path, "inspect", *arguments, "--documents=20", f"--out={tmp_path / 'page'}") == 0
    assert run(tmp_path, "fit", *arguments, "--trainer.max_steps=3") == 0
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    assert run(tmp_path, "fit", f"--ckpt_path={last}", "--trainer.max_steps=6") == 0
    assert run(tmp_path / "whole", "fit", *arguments) == 0
    resumed, whole = rows(tmp_path / "default/1"), rows(tmp_path / "whole/default/0")
    assert [row["train/loss"] for row in resumed if "train/loss" in row] == [
        row["train/loss"] for row in whole if "train/loss" in row
    ]
    capsys.readouterr()
    assert run(tmp_path, "encode", *arguments, f"--out={tmp_path / 'tokens'}") == 2
    assert "data.source streams, wanted one that is stored" in capsys.readouterr().err
