"""`encode` writes tokens that train as the records they are of, whatever stopped it, and however it was shared out."""

import json
import shutil
from itertools import islice
from pathlib import Path

import pytest
import torch
from corpus import SHAPE, save_as_dataset, save_as_shards, write_corpus
from digit_files import real_data
from lengths import assert_lengths_are_those_of_packing
from runs import ROOT, TINY, run, weights

import datamodules.encoding
from datamodules.sources import Table
from datamodules.sources.base import Encoded
from mot_lightning.codecs import BPE, LogMelUnits, Patches
from mot_lightning.commands.base import Invocation
from mot_lightning.commands.untrained import untrained

FILES = {"picture": ".", "sound": "."}
DOCUMENTS = {"text+image+speech": 1.0, "speech+text": 0.5, "image": 0.2}


@pytest.fixture(autouse=True, scope="module")
def _small_parts():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(datamodules.encoding, "LEAST_RECORDS", 5)
        patched.setattr(datamodules.encoding, "BATCH", 2)
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def config(corpus):
    """A recipe of that corpus, as an option."""
    content = {
        "model": {"modalities": {"image": {"codec": {"init_args": {"patch_size": 2}}},
                                 "text": {"codec": {"class_path": "BPE", "init_args": {"vocab_size": 264}}},
                                 "speech": {"codec": {"init_args": {"vocab_size": 16}}}},
                  "backbone": {"dim": 16, "depth": 1, "heads": 2, "ffn_dim": 32}},
        "data": {"class_path": "Records", "init_args": {
            "source": {"class_path": "Table", "init_args": {"path": str(corpus / "table.jsonl"), "files": FILES}},
            "media": {
                "text": {"class_path": "TextColumn", "init_args": {"column": "caption", "weight": "worth"}},
                "image": {"class_path": "ImageColumn", "init_args": {"column": "picture", "shape": SHAPE}},
                "speech": {"class_path": "AudioColumn", "init_args": {"column": "sound", "sample_rate": 8000}}},
            "documents": DOCUMENTS, "val": 0.2, "test": 0.1}},
    }  # fmt: skip
    (corpus / "config.yaml").write_text(json.dumps(content))
    return f"--config={corpus}/config.yaml"


@pytest.fixture(scope="module")
def tokens(config, tmp_path_factory):
    """The tokens of the corpus; read-only for tests."""
    folder = tmp_path_factory.mktemp("encoded") / "tokens"
    assert encode(folder, config) == 0
    return folder


def encode(folder, *settings):
    return run(folder.parent, "encode", *settings, f"--out={folder}")


def tokens_from(folder):
    return ["--data.source=Tokens", f"--data.source.path={folder}"]


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def data_of(*settings):
    """The data of a command line, connected to fitted codecs."""
    configs = [ROOT / setting.removeprefix("--config=") for setting in settings if setting.startswith("--config=")]
    others = [tuple(one.removeprefix("--").split("=", 1)) for one in settings if not one.startswith("--config=")]
    experiment = untrained("inspect", Invocation(configs=configs, settings=others))
    experiment.module.prepare(experiment.data)
    return experiment.data


def batches(count, *settings):
    """The first training batches of a command line."""
    return list(islice(data_of(*settings).train_dataloader(), count))


def assert_equal(first, second):
    for a, b in zip(first, second, strict=True):
        assert a.layout.counts == b.layout.counts
        assert torch.equal(a.layout.document, b.layout.document)
        for name in a.by_modality:
            for x, y in zip(a.by_modality[name], b.by_modality[name], strict=True):
                assert x.dtype == y.dtype
                assert torch.equal(x, y)


@pytest.mark.parametrize("changes", [[], ["--data.split_column=part", "--model.modalities.text.codec=Bytes"]])
def test_batches_of_tokens_and_of_every_other_source_are_equal(corpus, config, tmp_path, changes):
    assert encode(tmp_path / "tokens", config, *changes) == 0
    save_as_dataset(corpus, tmp_path / "set", FILES)
    save_as_shards(corpus, tmp_path / "shards", FILES)
    settings = [config, *changes, "--data.batch_size=4"]
    whole = batches(100, *settings)
    for source in (
        tokens_from(tmp_path / "tokens"),
        ["--data.source=HuggingFace", f"--data.source.path={tmp_path / 'set'}"],
        ["--data.source=WebDataset", f"--data.source.path={tmp_path / 'shards'}"],
    ):
        assert_equal(whole, batches(100, *settings, *source))
    assert_equal(whole, batches(100, *settings, *tokens_from(tmp_path / "tokens"), "--data.num_workers=2"))


def test_lengths_of_tokens_are_those_of_packing_and_copy_nothing(config, tokens, monkeypatch):
    data = data_of(config, *tokens_from(tokens))
    assert len({*assert_lengths_are_those_of_packing(data, 5 * data.size("train"))}) > 3
    documents, indices = data.documents("train"), [*data.first("train", 50)]
    monkeypatch.setattr(Encoded, "tokens", None)
    assert all(documents.length(index) > 1 for index in indices)


def test_batches_by_tokens_are_those_of_the_records(config, tokens):
    settings = [config, "--data.row_length=256", "--data.tokens=400"]
    whole = batches(40, *settings)
    assert all(0 < len(batch.layout.slot) <= 400 for batch in whole)
    assert_equal(whole, batches(40, *settings, *tokens_from(tokens), "--data.num_workers=2"))


def test_a_mixture_of_encoded_sources_has_the_batches_of_its_records(config, corpus, tmp_path):
    content, sources = json.loads((corpus / "config.yaml").read_text()), {}
    modalities, recipe = content["model"]["modalities"], content["data"]["init_args"]
    content["model"]["modalities"] = {**modalities, "image": None}
    for name, absent in (("text", "speech"), ("speech", "text")):
        media, of_one = {name: recipe["media"][name]}, {**content["model"], "control": name}
        sources[name] = {"class_path": "Records", "init_args": {**recipe, "documents": {name: 1.0}, "media": media}}
        of_one["modalities"] = {**content["model"]["modalities"], absent: None}
        (tmp_path / f"{name}.yaml").write_text(json.dumps({"model": of_one, "data": sources[name]}))
        assert encode(tmp_path / name, f"--config={tmp_path}/{name}.yaml") == 0
    content["data"] = {"class_path": "Mixture", "init_args": {"sources": sources, "batch_size": 4}}
    (tmp_path / "mixed.yaml").write_text(json.dumps(content))
    settings = [f"--config={tmp_path}/mixed.yaml"]
    encoded = [f"--data.sources.{name}.source{option}" for name in sources
               for option in ("=Tokens", f".path={tmp_path / name}")]  # fmt: skip
    whole = batches(20, *settings)
    assert {name for batch in whole for name, part in batch.by_modality.items() if part.content.any()} == {*sources}
    assert_equal(whole, batches(20, *settings, *encoded))
    assert_equal(whole, batches(20, *settings, *encoded[:2]))  # the other one is not encoded


@pytest.mark.slow
@pytest.mark.nightly
def test_first_100_batches_of_real_photographs_captions_and_speech_are_equal(tmp_path):
    root = real_data("flickr8k_spoken")
    settings = ["--config=conf/flickr_speech.yaml", f"--data.source.path={root}"]
    assert encode(tmp_path / "tokens", f"--config={ROOT}/conf/flickr_speech.yaml", settings[1]) == 0
    whole = batches(100, *settings)
    assert_equal(whole, batches(100, *settings, *tokens_from(tmp_path / "tokens")))
    photographs = grouped(root, tmp_path / "table")
    files = {"image": "images", "audio": "audio"}
    save_as_dataset(photographs, tmp_path / "set", files)
    save_as_shards(photographs, tmp_path / "shards", files, shard=300)
    for name, folder in (("HuggingFace", "set"), ("WebDataset", "shards")):
        assert_equal(whole, batches(100, *settings, f"--data.source={name}", f"--data.source.path={tmp_path / folder}"))


def grouped(root, folder):
    """A table with a row for each photograph, beside links to the files."""
    table = Table(root, files={"image": "images", "audio": "audio"}, group_by="image")
    table.setup()
    folder.mkdir()
    for name in ("images", "audio"):
        (folder / name).symlink_to(root / name)
    rows = [
        {"image": record["image"].name, "audio": record["audio"].name, "caption": record["caption"]}
        for record in table.records
    ]
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_run_on_tokens_is_the_run_on_records_without_a_codec_at_work(config, tokens, tmp_path, monkeypatch):
    settings = [config, *TINY]
    assert run(tmp_path / "raw", "fit", *settings) == 0
    with monkeypatch.context() as patched:
        for kind in (BPE, Patches, LogMelUnits):
            for method in ("fit", "encode"):
                patched.setattr(kind, method, None)
        assert run(tmp_path / "encoded", "fit", *settings, *tokens_from(tokens)) == 0
    raw, encoded = weights(tmp_path / "raw/default/0"), weights(tmp_path / "encoded/default/0")
    assert raw.keys() == encoded.keys()
    assert all(torch.equal(raw[name], encoded[name]) for name in raw if isinstance(raw[name], torch.Tensor))
    last = tmp_path / "raw/default/0/checkpoints/last.ckpt"
    assert run(tmp_path / "resumed", "fit", f"--ckpt_path={last}", "--trainer.max_steps=7",
               *tokens_from(tokens)) == 0  # fmt: skip


def test_samples_show_decoded_tokens(config, tokens, tmp_path):
    settings = [config, *TINY, *tokens_from(tokens), "--samples.prompts=2"]
    assert run(tmp_path / "runs", "fit", *settings) == 0
    assert {".txt", ".png", ".wav"} <= {path.suffix for path in (tmp_path / "runs").rglob("samples/**/*.*")}


def test_shards_and_processes_write_the_same_files(config, tokens, tmp_path, capsys):
    assert encode(tmp_path / "shared", config, "--shard=2/3") == 0
    assert "3 of 5 parts are left to the other shards" in capsys.readouterr().out
    assert encode(tmp_path / "shared", config, "--shard=1/3", "--workers=2") == 0
    assert encode(tmp_path / "shared", config, "--shard=3/3") == 0
    assert f"tokens:  {tmp_path / 'shared'}" in capsys.readouterr().out
    assert files_of(tmp_path / "shared") == files_of(tokens)


def test_a_stopped_encode_goes_on_where_it_was(corpus, config, tmp_path, capsys):
    sound = corpus / "18.wav"  # of the val split, so no codec is fitted on it
    content = sound.read_bytes()
    sound.write_bytes(b"nothing")
    settings = [config, "--data.split_column=part", "--data.documents={text: 1}"]
    try:
        assert encode(tmp_path / "tokens", *settings) == 2
        assert "18.wav: not a readable sound file" in capsys.readouterr().err
    finally:
        sound.write_bytes(content)
    before = files_of(tmp_path / "tokens")
    assert [name for name in before if name.endswith(".arrow")] == [
        f"records-{start:010}-{start + 5:010}.arrow" for start in (0, 5, 10)
    ]
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "tokens").iterdir()}
    assert encode(tmp_path / "tokens", *settings) == 0
    assert {name: (tmp_path / "tokens" / name).stat().st_mtime_ns for name in times} == times
    assert len(files_of(tmp_path / "tokens")) == len(before) + 2


def test_another_codec_or_recipe_is_refused_by_name(config, tokens, refusal):
    settings = [config, *TINY, *tokens_from(tokens)]
    message = refusal("fit", *settings, "--model.modalities.text.codec.vocab_size=300")
    assert "tokens has 'text' by BPE(vocab_size=264" in message
    assert "but the model's codec is BPE(vocab_size=300" in message
    message = refusal("fit", *settings, "--model.modalities.text.codec=Bytes")
    assert "tokens has 'text' by BPE(vocab_size=264" in message
    assert "but the model's codec is Bytes()" in message
    message = refusal("fit", *settings, "--data.media.speech.max_seconds=0.1")
    assert "data.media.speech.max_seconds is 0.1, wanted null, with which" in message
    assert "data.val is 0.3, wanted 0.2, with which" in refusal("fit", *settings, "--data.val=0.3")
    message = refusal("fit", *settings, "--data.media.text.column=part")
    assert "data.media.text.column is part, wanted caption, with which" in message


def test_a_checkpoint_of_codecs_that_learned_otherwise_is_refused(config, tokens, tmp_path, refusal):
    settings = [config, *TINY, "--model.modalities.speech.codec_samples=3"]
    assert run(tmp_path / "runs", "fit", *settings) == 0
    last = tmp_path / "runs/default/0/checkpoints/last.ckpt"
    for command in (["fit", "--trainer.max_steps=9"], ["test"], ["evaluate", "--prompts=0"]):
        message = refusal(*command, f"--ckpt_path={last}", *tokens_from(tokens))
        assert "tokens has 'speech' by LogMelUnits(" in message
        assert message.endswith("which learned otherwise")
    assert encode(tmp_path / "its", f"--ckpt_path={last}") == 0
    assert run(tmp_path / "more", "fit", f"--ckpt_path={last}", "--trainer.max_steps=7",
               *tokens_from(tmp_path / "its")) == 0  # fmt: skip


def test_a_folder_that_lacks_records_or_has_others_is_refused(config, tokens, tmp_path, refusal):
    settings = [config, *TINY]
    (tmp_path / "empty").mkdir()
    assert "empty has no encoding.json, wanted a folder that the command encode wrote" in refusal(
        "fit", *settings, *tokens_from(tmp_path / "empty")
    )
    shutil.copytree(tokens, tmp_path / "tokens")
    part = tmp_path / "tokens/records-0000000005-0000000010.arrow"
    content = part.read_bytes()
    part.unlink()
    message = refusal("fit", *settings, *tokens_from(tmp_path / "tokens"))
    assert "tokens has no records-0000000005-0000000010.arrow, wanted all records" in message
    part.write_bytes(content[: len(content) // 2])
    assert f"{part} " in refusal("fit", *settings, *tokens_from(tmp_path / "tokens"))
    assert encode(tmp_path / "others", config, "--model.modalities.speech.codec_samples=3") == 0
    part.write_bytes((tmp_path / "others" / part.name).read_bytes())
    message = refusal("fit", *settings, *tokens_from(tmp_path / "tokens"))
    assert f"{part} has 'speech' by a codec that learned otherwise than the one in" in message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["--shard=0/2"], "--shard is '0/2', wanted K/N with K from 1 to N, such as 3/16"),
        (["--shard=3"], "--shard is '3', wanted K/N"),
        (["--workers=-1"], "--workers is -1, wanted 0 or more"),
        (["--data.media.image.transforms=[{class_path: torchvision.transforms.v2.RandomHorizontalFlip}]"],
         "data.media.image has transforms, which differ each time, wanted none to encode"),
    ],
)  # fmt: skip
def test_bad_options_are_one_line(config, refusal, tmp_path, settings, message):
    assert message in refusal("encode", config, *settings, f"--out={tmp_path / 'tokens'}")


def test_other_data_and_tokens_themselves_are_not_encoded(config, tokens, refusal, tmp_path):
    assert "--out is missing, wanted a folder" in refusal("encode", config)
    assert "data is Digits, wanted Records" in refusal("encode", f"--out={tmp_path / 'tokens'}")
    settings = [config, *tokens_from(tokens)]
    assert "data.source is Tokens, wanted one that is not encoded" in refusal("encode", *settings, "--out=x")
    assert "data.val is 0.3, wanted 0.2" in refusal("encode", config, "--data.val=0.3", f"--out={tokens}")


def test_no_codec_is_trained_on_tokens(config, tokens, tmp_path, refusal):
    data = json.loads(Path(config.removeprefix("--config=")).read_text())["data"]
    (tmp_path / "config.yaml").write_text(json.dumps({"base": "conf/codec/vae.yaml", "data": data}))
    message = refusal("fit", f"--config={tmp_path}/config.yaml", *tokens_from(tokens))
    assert "data.source is Tokens, which has no media of 'image' to train a codec on" in message
