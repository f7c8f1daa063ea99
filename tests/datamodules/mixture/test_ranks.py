"""Four sources of three modalities: losses are the same on 1, 2, 3 and 4 real ranks, and in batches of any size."""

import csv
import json

import datasets
import pyarrow as pa
import pytest
from runs import TINY, rows, run, run_in_subprocess
from shards import png, wav, write_shard

RECORDS = 30  # of each source of files
EXACT = [
    *TINY, "--trainer.precision=64-true", "--model.backbone.dropout=0", "--trainer.limit_val_batches=1.0",
    "--model.modalities.speech.objective=MaskedToken", "--data.row_length=256",
]  # fmt: skip
SOUNDS = "{class_path: AudioColumn, init_args: {column: %s, sample_rate: 8000}}"
IMAGES = "{class_path: ImageColumn, init_args: {column: %s, shape: [1, 8, 8]}}"
FILES = """
  class_path: Records
  init_args: {{
    source: {{class_path: {kind}, init_args: {{path: {path}{more}}}}}, val: 0.2, test: 0,
    media: {{{media}}}, documents: {{{documents}: 0.6, {other}: 0.4}}}}"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A mixture of digits, a table with sounds, Arrow rows with pictures, and tar shards of both."""
    folder = tmp_path_factory.mktemp("sources")
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["sound", "caption"], *([f"{i}.wav", f"tone {i}"] for i in range(RECORDS))])
    for i in range(RECORDS):
        (folder / f"{i}.wav").write_bytes(wav(0.1 + i / 20))
    features = datasets.Features({"label": datasets.Value("int64"), "picture": datasets.Image()})
    pictures = {"label": range(RECORDS), "picture": [{"bytes": png(8 * i), "path": None} for i in range(RECORDS)]}
    table = pa.table({name: [*cells] for name, cells in pictures.items()}, schema=features.arrow_schema)
    with pa.OSFile(str(folder / "rows.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    members = ([(f"{i}.png", png(255 - 8 * i)), (f"{i}.wav", wav(2 - i / 20))] for i in range(RECORDS))
    write_shard(folder / "0.tar", [member for record in members for member in record])
    texts = "text: {class_path: TextColumn, init_args: {%s}}"
    sources = {
        "table": {"kind": "Table", "path": folder / "table.csv", "more": ', files: {sound: "."}',
                  "media": f"{texts % 'column: caption'}, speech: {SOUNDS % 'sound'}",
                  "documents": "text+speech", "other": "speech+text"},
        "rows": {"kind": "HuggingFace", "path": folder / "rows.arrow", "more": "",
                 "media": f"{texts % 'column: label'}, image: {IMAGES % 'picture'}",
                 "documents": "text+image", "other": "image+text"},
        "shards": {"kind": "WebDataset", "path": folder / "0.tar", "more": "",
                   "media": f"image: {IMAGES % 'png'}, speech: {SOUNDS % 'wav'}",
                   "documents": "image+speech", "other": "speech"},
    }  # fmt: skip
    parts = {"digits": "{class_path: Digits}", **{name: FILES.format(**one) for name, one in sources.items()}}
    text = "".join(f"\n{name}: {part}" for name, part in parts.items()).replace("\n", "\n      ")
    weights = json.dumps({name: 2 if name == "digits" else 1 for name in parts})
    data = f"data:\n  class_path: Mixture\n  init_args:\n    weights: {weights}\n    sources:{text}\n"
    (folder / "mixture.yaml").write_text(data)
    return f"--config={folder / 'mixture.yaml'}"


@pytest.fixture(scope="module")
def alone(config, tmp_path_factory):
    """A run on one rank."""
    folder = tmp_path_factory.mktemp("alone")
    assert run(folder, "fit", config, *EXACT, "--data.batch_size=12") == 0
    return folder / "default/0"


def losses(row):
    return {name: float(value) for name, value in row.items() if "loss" in name}


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(240)
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_losses_of_four_sources_are_the_same_on_any_number_of_ranks(config, alone, tmp_path, ranks):
    """To 1e-6, also after the first ones have been learned from; bitwise on as many ranks."""
    on_ranks = [f"--trainer.devices={ranks}", "--trainer.accelerator=cpu", f"--data.batch_size={12 // ranks}"]
    run_in_subprocess("-m", "mot_lightning", "fit", config, *EXACT, *on_ranks, f"--runs={tmp_path}", cwd=tmp_path)
    expected, actual = rows(alone), rows(tmp_path / "default/0")
    assert sum("train/loss" in row for row in actual) == 6
    names = {name for row in actual for name in losses(row)}
    assert {"train/image/loss", "train/speech/loss", "train/text/loss"} <= names
    assert {f"val/source/{source}/loss" for source in ("digits", "table", "rows", "shards")} <= names
    for one, other in zip(expected, actual, strict=True):
        assert losses(one) == pytest.approx(losses(other), rel=0 if ranks == 1 else 1e-6, abs=0)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("batch_size", [5, 40])
def test_validation_losses_of_four_sources_do_not_depend_on_batches(alone, tmp_path, capsys, batch_size):
    values = []
    for size in (12, batch_size):
        last = f"--ckpt_path={alone / 'checkpoints/last.ckpt'}"
        assert run(tmp_path, "validate", last, f"--data.batch_size={size}") == 0
        values.append(rows(tmp_path / f"default/{len(values)}")[-1])
    assert len(losses(values[0])) > 10
    assert losses(values[0]) == pytest.approx(losses(values[1]), rel=1e-6, abs=0)
