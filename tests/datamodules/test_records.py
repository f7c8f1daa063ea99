"""Documents of any corpus, as a config describes them."""

import json
from itertools import islice

import numpy as np
import PIL.Image
import pytest
import soundfile
import torch
from digit_files import real_data
from runs import ROOT, TINY, rows, run, weights
from torchvision.transforms.v2 import RandomHorizontalFlip

from datamodules import Records
from datamodules.columns import AudioColumn, ImageColumn, TextColumn
from datamodules.documents import DocumentSettings
from datamodules.sources import Source, Table
from mot_lightning.codecs import Bytes, Patches
from mot_lightning.errors import ConfigError
from mot_lightning.modality import tokens_of
from mot_lightning.runs.examples import last_examples
from mot_lightning.sequence import Grammar

MEDIA = {
    "text": TextColumn("caption"),
    "image": ImageColumn("picture", (1, 4, 4)),
    "speech": AudioColumn("sound", 8000),
}
PLAIN = DocumentSettings(condition_dropout=0, clean_context=0)


class Numbers(Source):
    """Records in memory: a number, two captions of it and, of the even ones, a list of words."""

    def __init__(self, count: int = 40) -> None:
        self.count = count

    def setup(self) -> None:
        pass

    def __len__(self) -> int:
        return self.count

    def record(self, index):
        record = {"number": str(index), "caption": [f"{index}a", f"{index}b"], "split": ("train", "val")[index % 2]}
        return record if index % 2 else {**record, "words": ["one", "two", "three"]}


def numbers(documents, source=None, media=None, **settings):
    media = media or {"a": TextColumn("caption"), "b": TextColumn("number"), "c": TextColumn("words")}
    data = Records(source or Numbers(), media, documents, document_settings=PLAIN, **settings)
    data.setup("fit")
    return data


def composed(data, index=0, split="train", seed=0):
    document = data.compose(split, index, np.random.default_rng(seed))
    return [(medium.modality, medium.media()) for medium in document]


def test_every_record_is_in_one_split_and_no_more():
    data = numbers({"a": 1.0}, val=0.2, test=0.1)
    assert sorted(np.concatenate([*data.indices.values()])) == list(range(40))
    again = numbers({"b": 1.0}, val=0.2, test=0.1, seed=5)
    assert all((data.indices[split] == again.indices[split]).all() for split in data.indices)


def test_a_column_may_say_the_split():
    data = numbers({"a": 1.0}, split_column="split")
    assert (data.size("train"), data.size("val"), data.size("test")) == (20, 20, 0)
    assert all(text[0][1].endswith(("0a", "2a", "4a", "6a", "8a", "0b", "2b", "4b", "6b", "8b"))
               for text in (composed(data, i) for i in range(20)))  # fmt: skip


def test_documents_have_the_named_modalities_in_order_at_their_weights():
    data = numbers({"b+a": 3.0, "a": 1.0, "b": 0.0})
    orders = [tuple(name for name, _ in composed(data, 0, seed=seed)) for seed in range(400)]
    assert {*orders} == {("b", "a"), ("a",)}
    assert 0.68 < np.mean([order == ("b", "a") for order in orders]) < 0.82


def test_of_several_media_one_is_sampled_or_they_are_taken_in_turn():
    data = numbers({"a": 1.0})
    number = int(data.indices["train"][0])
    assert {composed(data, 0, seed=seed)[0][1] for seed in range(20)} == {f"{number}a", f"{number}b"}
    data = numbers({"c+b+c+c+c": 1.0}, split_column="split")
    number = int(data.indices["train"][3])
    assert composed(data, 3) == [("c", "one"), ("b", str(number)), ("c", "two"), ("c", "three")]


def test_segments_have_the_weight_that_their_record_says():
    class Weighted(Numbers):
        def record(self, index):
            return {**super().record(index), "caption weight": [0.0, 2.5], "number weight": str(index)}

    media = {"a": TextColumn("caption", weight="caption weight"), "b": TextColumn("number", weight="number weight")}
    data = numbers({"a+b": 1.0}, Weighted(), media)
    weights = {}
    for seed in range(20):
        a, b = data.compose("train", 0, np.random.default_rng(seed))
        weights[a.media()[-1]] = a.weight
        assert b.weight == float(b.media())
    assert weights == {"a": 0.0, "b": 2.5}
    codecs = {name: Bytes() for name in media}
    tokens = {name: tokens_of(codec) for name, codec in codecs.items()}
    data.connect(codecs, Grammar(tokens, {"a": True, "b": True}, "a", ("a", "b")))
    (index,) = data.first("train", 1)
    composed = data.compose("train", index.item, np.random.default_rng((0, 0, index.number)))
    assert [s.weight for s in data.documents("train")[index]] == [medium.weight for medium in composed]


def test_what_a_record_lacks_is_left_out_and_a_record_with_nothing_is_refused():
    data = numbers({"c+b": 1.0}, split_column="split")
    assert composed(data, 0, "val") == [("b", "1")]
    data = numbers({"c": 100.0, "b": 1.0}, split_column="split")
    assert {composed(data, 0, "val", seed)[0] for seed in range(20)} == {("b", "1")}  # of forms that it has
    data = numbers({"c": 1.0}, split_column="split")
    with pytest.raises(ValueError, match="record 1 has nothing of a, b, c, wanted at least one of them"):
        composed(data, 0, "val")


def test_modalities_that_the_model_lacks_are_left_out_of_documents_and_tasks():
    data = numbers({"a+b+c": 1.0, "c+a": 1.0}, val=0.5)
    tokens = {"a": tokens_of(Bytes()), "b": tokens_of(Bytes())}
    data.connect({"a": Bytes(), "b": Bytes()}, Grammar(tokens, {"a": True, "b": True}, "a", ("a", "b")))
    orders = {tuple(name for name, _ in composed(data, 0, seed=seed)) for seed in range(40)}
    assert orders == {("a", "b"), ("a",)}
    assert [task.title for task in data.tasks("val")] == ["a -> b"]


def test_transforms_leave_the_global_generator_as_it_was(corpus):
    media = {"image": ImageColumn("picture", (1, 4, 4), [RandomHorizontalFlip(0.5)])}
    data = Records(table_of(corpus), media, {"image": 1.0})
    data.setup("fit")
    before = torch.get_rng_state()
    composed(data)
    assert torch.equal(before, torch.get_rng_state())


def test_a_run_resumes_with_more_records_but_neither_with_fewer_nor_in_other_splits(capsys):
    def resume(state, count, **settings):
        numbers({"a": 1.0}, Numbers(count), **settings).load_state_dict(state)

    state = numbers({"a": 1.0}, Numbers(100)).state_dict()
    resume(state, 100)
    assert capsys.readouterr().out == ""
    resume(state, 110)
    assert capsys.readouterr().out == "data.source has 110 records, 100 in the checkpoint: all are shuffled anew\n"
    with pytest.raises(ConfigError, match=r"data.source has 99 records, wanted the checkpoint's 100, or more"):
        resume(state, 99)
    for settings in ({"val": 0.2}, {"split_column": "split"}):
        with pytest.raises(ConfigError, match=r"its first 100 records in other splits than the checkpoint"):
            resume(state, 100, **settings)


def test_records_that_agree_in_a_column_share_a_split():
    class Speakers(Numbers):
        def record(self, index):
            return {**super().record(index), "speaker": index % 50}

    data = numbers({"a": 1.0}, Speakers(400), val=0.2, split_by="speaker")
    speakers = {split: {int(i) % 50 for i in indices} for split, indices in data.indices.items()}
    assert sum(map(len, speakers.values())) == 50
    assert all(speakers.values())
    with pytest.raises(ValueError, match=r"data.split_by is 'speakr', which no record has, wanted one of number"):
        numbers({"a": 1.0}, Speakers(), split_by="speakr")
    with pytest.raises(ValueError, match=r"data.split_column is 'splt', which no record has, wanted one of number"):
        numbers({"a": 1.0}, Speakers(), split_column="splt")
    with pytest.raises(ValueError, match=r"data.split_by is 'speaker', wanted null"):
        numbers({"a": 1.0}, Speakers(), split_by="speaker", split_column="split")


def test_records_of_a_split_are_read_once_to_count_its_media():
    class Counting(Numbers):
        reads = 0

        def record(self, index):
            self.reads += 1
            return super().record(index)

    data = numbers({"a": 1.0}, Counting())
    data.media("a", "train")
    before = data.source.reads
    assert len(data.media("a", "train")) == 2 * data.size("train") == 2 * len(data.media("b", "train"))
    assert data.source.reads == before


def test_media_of_a_modality_are_all_values_decoded_when_they_are_indexed():
    data = numbers({"a": 1.0}, split_column="split")
    texts = data.media("a", "train")
    assert len(texts) == 40
    assert texts[3] == "2b"
    assert len(data.media("c", "val")) == 0
    with pytest.raises(ValueError, match=r"data.media has no 'z', wanted one of a, b, c"):
        data.media("z", "train")


def test_each_modality_is_continued_from_the_one_before_it():
    data = numbers({"a+b": 1.0, "b+a+b": 0.5}, val=0.9)
    tasks = {task.title: task for task in data.tasks("val")}
    assert [*tasks] == ["a -> b", "b -> a"]
    first = str(data.indices["val"][0])
    assert (tasks["a -> b"].prompts[0], tasks["a -> b"].references[0]) == ([("a", f"{first}a")], first)
    assert all(len(task.prompts) == 20 and not task.metrics for task in tasks.values())
    assert all(task.guided and task.max_length == data.row_length for task in tasks.values())
    data = numbers({"a+c": 1.0, "b+a": 0.0}, split_column="split")
    assert data.tasks("val") == []  # no record has the second; and a weight of 0 is none


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"documents": {"a+z": 1.0}}, r"data.documents has a\+z: 1.0, wanted some of a, b, c"),
        ({"documents": {"a": -1.0}}, "data.documents has a: -1.0, wanted some of"),
        ({"documents": {"a": float("nan")}}, "data.documents has a: nan"),
        ({"documents": {"a": float("inf")}}, "data.documents has a: inf"),
        ({"split_column": "caption"}, r"data.split_column 'caption' holds \['0a', '0b'\] in record 0"),
        ({"documents": {"a": 0.0}}, "wanted a weight above 0"),
        ({"documents": {}}, "wanted a weight above 0"),
        ({"val": 1.0}, "data.val is 1.0, wanted a fraction"),
        ({"val": 0.5, "test": 0.5}, "data.val is 0.5, wanted a fraction"),
        ({"test": -0.1}, "data.test is -0.1, wanted a fraction"),
        ({"split_column": "number"}, "data.split_column 'number' holds '0' in record 0, wanted train, val or test"),
        ({"media": {"a": TextColumn("captoin")}}, "data.media.a has no 'captoin' in any record, wanted one of number"),
        ({"source": Numbers(1), "val": 0.9}, "leave none to train on"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message) as refused:
        numbers(**{"documents": {"a": 1.0}, **arguments})
    assert "\n" not in str(refused.value)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Pictures with a bright left half, three captions and a tone each, named by a table."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    with (folder / "table.jsonl").open("w") as table:
        for i in range(24):
            picture = rng.integers(0, 99, (4, 4)).astype(np.uint8)
            picture[:, :2] += 150
            PIL.Image.fromarray(picture).save(folder / f"{i}.png")
            soundfile.write(folder / f"{i}.wav", np.sin(np.arange(4000) * (0.1 + i / 24)), 8000)
            captions = [f"{word} {i}" for word in ("a", "the", "one")]
            table.write(json.dumps({"picture": f"{i}.png", "sound": f"{i}.wav", "caption": captions}) + "\n")
    return folder


def table_of(corpus):
    return Table(corpus, files={"picture": ".", "sound": "."})


def test_transforms_are_functions_of_the_document_and_for_training_only(corpus):
    media = {"image": ImageColumn("picture", (1, 4, 4), [RandomHorizontalFlip(0.5)])}
    data = Records(table_of(corpus), media, {"image": 1.0}, val=0.2)
    data.setup("fit")

    def bright_left(split, seed):
        return bool(composed(data, 0, split, seed)[0][1][:, :, :2].mean() > 0.5)

    sides = [bright_left("train", seed) for seed in range(20)]
    assert {*sides} == {True, False}
    assert sides == [bright_left("train", seed) for seed in range(20)]
    assert all(bright_left("val", seed) for seed in range(20))
    assert data.compose("train", 0, np.random.default_rng(0))[0].key is None  # never cached
    assert data.compose("val", 0, np.random.default_rng(0))[0].key is not None


def batches(corpus, n, workers=0, consumed=0):
    media = {"text": MEDIA["text"], "image": ImageColumn("picture", (1, 4, 4), [RandomHorizontalFlip(0.5)])}
    documents = {"text+image": 1.0, "image+text": 1.0}
    data = Records(table_of(corpus), media, documents, batch_size=3, num_workers=workers)
    data.setup("fit")
    codecs = {"text": Bytes(), "image": Patches((1, 4, 4), 2)}
    tokens = {name: tokens_of(codec) for name, codec in codecs.items()}
    data.connect(codecs, Grammar(tokens, {"text": True, "image": False}, "text", ("image", "text")))
    data.progress.resumed_at = consumed
    return list(islice(data.train_dataloader(), n))


@pytest.mark.parametrize(("workers", "done"), [(2, 0), (0, 5), (1, 9)])
def test_batches_depend_neither_on_workers_nor_on_stops(corpus, workers, done):
    whole, resumed = batches(corpus, 12), batches(corpus, 12 - done, workers, 3 * done)
    for a, b in zip(whole[done:], resumed, strict=True):
        assert a.layout.counts == b.layout.counts
        for name in a.by_modality:
            assert all(torch.equal(x, y) for x, y in zip(a.by_modality[name], b.by_modality[name], strict=True))


def arguments(corpus):
    config = {
        "model": {"modalities": {"image": {"codec": {"init_args": {"patch_size": 2}}},
                                 "speech": {"codec": {"init_args": {"vocab_size": 16}}}}},
        "data": {"class_path": "Records", "init_args": {
            "source": {"class_path": "Table", "init_args": {"files": {"picture": ".", "sound": "."}}},
            "media": {
                "text": {"class_path": "TextColumn", "init_args": {"column": "caption"}},
                "image": {"class_path": "ImageColumn", "init_args": {
                    "column": "picture", "shape": [1, 4, 4],
                    "transforms": [{"class_path": "torchvision.transforms.v2.RandomHorizontalFlip"},
                                   {"class_path": "torchvision.transforms.v2.RandomResizedCrop",
                                    "init_args": {"size": [4, 4], "scale": [0.5, 1.0]}}]}},
                "speech": {"class_path": "AudioColumn", "init_args": {
                    "column": "sound", "sample_rate": 8000,
                    "transforms": [{"class_path": "torchaudio.transforms.SpeedPerturbation",
                                    "init_args": {"orig_freq": 8000, "factors": [0.9, 1.1]}}]}}},
            "documents": {"text+image+speech": 1.0, "speech+text": 0.1}, "val": 0.4, "test": 0.2}},
    }  # fmt: skip
    (corpus / "config.yaml").write_text(json.dumps(config))
    return [
        f"--config={corpus}/config.yaml",
        *TINY,
        "--samples.prompts=2",
        f"--data.source.path={corpus / 'table.jsonl'}",
    ]


def test_a_config_trains_any_corpus_and_shows_samples_of_every_kind(corpus, tmp_path, capsys):
    assert run(tmp_path, "fit", *arguments(corpus)) == 0
    output = capsys.readouterr().out
    assert "no task is measured" in output
    folder = tmp_path / "default/0"
    losses = [row for row in rows(folder) if "val/loss" in row]
    assert all({"val/text/loss", "val/image/loss", "val/speech/loss"} <= row.keys() for row in losses)
    titles = ["text -> image", "image -> speech", "speech -> text"]
    shown = last_examples(folder / "samples")
    assert [task.title for task in shown] == titles
    assert all(len(task.examples) == 2 and example.real.exists() for task in shown for example in task.examples)
    assert "torchvision.transforms.v2.RandomHorizontalFlip" in (folder / "config.yaml").read_text()


def test_a_resumed_run_equals_an_uninterrupted_one(corpus, tmp_path):
    assert run(tmp_path, "fit", *arguments(corpus), "--samples.prompts=0", "--model.optimizer.schedule=constant") == 0
    assert run(tmp_path, "fit", *arguments(corpus), "--samples.prompts=0", "--model.optimizer.schedule=constant",
               "--trainer.max_steps=4") == 0  # fmt: skip
    last = tmp_path / "default/1/checkpoints/last.ckpt"
    assert run(tmp_path, "fit", f"--ckpt_path={last}", "--trainer.max_steps=6") == 0
    whole = weights(tmp_path / "default/0")
    resumed = weights(max((tmp_path / "default").iterdir(), key=lambda path: (path / "metrics.csv").stat().st_mtime))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("--data.source.path=nowhere", "nowhere does not exist, wanted a table or a folder with one"),
        ("--data.source.pth=x", "there is no setting 'data.source.pth' of Table, did you mean data.source.path?"),
        ("--data.media.image.colum=x", "there is no setting 'data.media.image.colum' of ImageColumn"),
        ("--data.media.image.shape=[2,4,4]", "shape has 2 channels, wanted 1 (grey) or 3 (RGB)"),
        ("--data.media.image=ImageColum", "there is no class 'ImageColum', did you mean ImageColumn?"),
        ("--data.media.image=null", "data.media.image is missing, wanted the name of a class"),
        ("--data.source=os.system", "class 'os.system' is outside the allowed packages"),
        ("--data.source=Tabel", "there is no class 'Tabel', did you mean Table?"),
        ("--data.source=null", "data.source is missing, wanted the name of a class"),
    ],
)
def test_bad_settings_of_a_config_are_one_line(corpus, refusal, setting, message):
    assert message in refusal("fit", *arguments(corpus), setting)


@pytest.mark.parametrize("broken", ["image", "sound"])
def test_a_broken_file_is_named(corpus, tmp_path, broken):
    for path in corpus.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    name = {"image": "3.png", "sound": "3.wav"}[broken]
    (tmp_path / name).write_bytes(b"nothing")
    data = Records(table_of(tmp_path), MEDIA, {"text+image+speech": 1.0}, val=0, test=0)
    data.setup("fit")
    index = int(np.flatnonzero(data.indices["train"] == 3)[0])
    with pytest.raises(ValueError, match=name):
        composed(data, index)


@pytest.mark.slow
def test_the_shipped_recipe_trains_on_real_photographs_captions_and_speech(tmp_path):
    root = real_data("flickr8k_spoken")
    settings = [f"--config={ROOT / 'conf/flickr_speech.yaml'}", f"--data.source.path={root}", *TINY]
    assert run(tmp_path, "fit", *settings, "--data.val=0.01", "--data.test=0.01") == 0
    losses = [row for row in rows(tmp_path / "flickr_speech/0") if "val/loss" in row]
    assert float(losses[-1]["val/loss"]) < float(losses[0]["val/loss"])
