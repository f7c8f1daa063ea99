"""Several data sets as one: which gives a document is a function of its number, and losses are known by source."""

from itertools import islice

import pytest
import torch
from digit_documents import CODECS
from lengths import assert_lengths_are_those_of_packing
from runs import ROOT, TINY, rows, run, weights

from datamodules import Digits, Mixture, Records
from datamodules.columns import TextColumn
from datamodules.documents import DocumentSettings
from datamodules.mixture.phase import Phase
from datamodules.sources import Source
from mot_lightning.errors import ConfigError
from mot_lightning.sequence import Grammar, Tokens

TOKENS = {name: Tokens(codec.vocab_size, codec.latent_dim, codec.length) for name, codec in CODECS.items()}


class Numbers(Source):
    """Forty records in memory: a caption with a number."""

    def setup(self) -> None:
        pass

    def __len__(self) -> int:
        return 40

    def record(self, index):
        return {"caption": f"number {index}"}


def mixture(mixed=None, **settings):
    sources = {
        "digits": Digits(documents={"text+image": 1.0}),
        "numbers": Records(Numbers(), {"text": TextColumn("caption")}, {"text": 1.0}),
    }
    data = Mixture(sources, mixed, document_settings=DocumentSettings(condition_dropout=0), **settings)
    data.setup("fit")
    grammar = Grammar(TOKENS, {name: name != "image" for name in TOKENS}, "text", sorted(TOKENS))
    data.connect(dict(CODECS), grammar)
    return data


def batches(n, consumed=0, rank=(0, 1), **settings):
    data = mixture({"digits": 1.0, "numbers": 2.0}, batch_size=4, **settings)
    return list(islice(data._loader("train", data._order(lambda: consumed, *rank)), n))


def same(a, b):
    return a.sources.of_document.tolist() == b.sources.of_document.tolist() and all(
        torch.equal(x, y)
        for name in a.by_modality
        for x, y in zip(a.by_modality[name], b.by_modality[name], strict=True)
    )


def test_a_length_is_that_of_the_source_s_document():
    assert len({*assert_lengths_are_those_of_packing(mixture({"digits": 1.0, "numbers": 2.0}), 300)}) > 3


@pytest.mark.parametrize(("workers", "done"), [(2, 0), (0, 5), (1, 70)])
def test_batches_depend_neither_on_workers_nor_on_stops(workers, done):
    whole, resumed = batches(80), batches(80 - done, 4 * done, num_workers=workers)
    assert all(map(same, whole[done:], resumed))
    assert {*torch.cat([batch.sources.of_document for batch in whole]).tolist()} == {0, 1}


def test_ranks_share_the_documents():
    whole = [number for batch in batches(12) for number in batch.step.numbers]
    parts = [[number for batch in batches(6, 0, (rank, 2)) for number in batch.step.numbers] for rank in range(2)]
    assert sorted(parts[0] + parts[1]) == whole


@pytest.mark.parametrize("consumed", [0, 11])
def test_ranks_share_the_tokens(consumed):
    whole = batches(8, consumed, tokens=512)
    assert all(400 < len(batch.layout.slot) <= 512 for batch in whole)
    parts = [batches(8, consumed, (rank, 2), tokens=256) for rank in range(2)]
    numbers = [sorted([*one.step.numbers, *two.step.numbers]) for one, two in zip(*parts, strict=True)]
    assert numbers == [batch.step.numbers.tolist() for batch in whole]
    count = sum(batch.step.over_ranks for batch in whole)
    assert [number for of_batch in numbers for number in of_batch] == [*range(consumed, consumed + count)]
    assert all(len(part.sources.of_document) == len(part.step.numbers) for part in parts[0])


def test_each_source_is_read_in_passes_of_its_own():
    data = mixture({"digits": 1.0, "numbers": 1.0})
    size = data.sources["numbers"].size("train")
    order = data._order()
    items = [data.locate("train", order.at(number).item) for number in range(6 * size)]
    of_numbers = [item for source, item in items if source == 1]
    assert sorted(of_numbers[:size]) != of_numbers[:size] or len(of_numbers) > size
    counted = [order.at(number) for number in range(2048)]
    first = [data.locate("train", one.item)[1] for one in counted if data.locate("train", one.item)[0] == 1][
        : 16 * size
    ]
    assert all(12 <= first.count(item) <= 20 for item in range(size))


def test_weights_may_be_of_tokens_and_have_a_temperature():
    data = mixture({"digits": 1.0, "numbers": 1.0}, by="tokens", batch_size=256)
    batch = next(iter(data.train_dataloader()))
    per_document = torch.bincount(batch.layout.document[batch.layout.document >= 0])
    tokens = torch.zeros(2).index_add_(0, batch.sources.of_document, per_document.float())
    assert 0.45 < tokens[0] / tokens.sum() < 0.55
    assert mixture({"digits": 1.0, "numbers": 1.0}, by="tokens").state_dict()["mean_tokens"] is None
    even = mixture(temperature=1e6).schedule.counts(2560)
    assert abs(int(even[0]) - 1280) < 5
    sized = mixture().schedule.counts(2560)
    assert sized[0] / 2560 == pytest.approx(1349 / (1349 + 36), abs=0.01)


def test_validation_reads_every_item_once_and_all_sources_in_turn():
    data = mixture(batch_size=64)
    items = [one.item for one in data.val_dataloader().sampler]
    sizes = [source.size("val") for source in data.sources.values()]
    assert sorted(items) == list(range(sum(sizes)))
    in_source = [data.locate("val", item) for item in items]
    for source, size in enumerate(sizes):
        assert [item for at, item in in_source if at == source] == list(range(size))
    few = min(sizes)
    first = [source for source, _ in in_source[: few * len(sizes)]]
    assert all(first.count(source) == few for source in range(len(sizes)))
    assert len(data.media("text", "val")) == sum(len(one.media("text", "val")) for one in data.sources.values())
    with pytest.raises(ValueError, match="video"):
        data.media("video", "val")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mixed": {"digit": 1.0}}, "data.weights has digit: 1.0, wanted some of digits, numbers"),
        ({"mixed": {"digits": 1.0}, "curriculum": [Phase(0, {"digits": 1.0})]}, "are both given"),
        ({"temperature": 0.0}, "data.temperature is 0.0, wanted a number above 0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        mixture(**settings)


def test_a_checkpoint_of_other_sources_is_refused():
    state = mixture().state_dict()
    mixture().load_state_dict(state)
    with pytest.raises(ConfigError, match=r"data.sources is digits, numbers, wanted the checkpoint's digits"):
        mixture().load_state_dict({**state, "sources": {"digits": state["sources"]["digits"]}})


CONFIG = f"--config={ROOT / 'conf/digits_mixture.yaml'}"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("--data.sources.sounds.batch_size=4", "data.sources.sounds.batch_size is set, wanted data.batch_size"),
        ("--data.sources.sounds.image_root=here", "of image with shape [1, 28, 28], wanted [1, 8, 8], as of"),
        ("--data.sources.sounds.image_rot=x", "no setting 'data.sources.sounds.image_rot' of Digits, did you mean"),
        ("--data.sources.sound.val=1", "data.sources.sound has no class_path, wanted a data set, did you mean sounds?"),
        ("--data.sources.sounds=Digit", "there is no class 'Digit', did you mean Digits?"),
        ("--data.curriculum=[{start: 3, weights: {sounds: 1}}]", "data.curriculum starts at [3], wanted rising"),
    ],
)
def test_bad_settings_of_a_config_are_one_line(refusal, setting, message):
    assert message in refusal("fit", CONFIG, setting)


def monitors(*names):
    callbacks = ("EarlyStopping", "ModelCheckpoint")
    return "--trainer.callbacks=[" + ", ".join(
        f"{{class_path: {callbacks[i % 2]}, init_args: {{monitor: {name}}}}}" for i, name in enumerate(names)
    ) + "]"  # fmt: skip


def test_callbacks_monitor_the_losses_of_a_source(tmp_path):
    monitored = monitors("val/source/pictures/image/loss", "val/source/sounds/loss", "train/source/sounds/loss")
    assert run(tmp_path, "fit", CONFIG, *TINY, monitored) == 0
    saved = [path.name for path in (tmp_path / "digits_mixture/0/checkpoints").iterdir()]
    assert any(name.startswith("epoch=") for name in saved)


@pytest.mark.parametrize(
    ("monitor", "hint"),
    [
        ("val/source/picture/loss", "did you mean val/source/pictures/loss?"),
        ("train/source/sounds/speach/loss", "did you mean train/source/sounds/speech/loss?"),
        ("quality", "val/source/sounds/image/loss, val/source/sounds/loss, val/source/sounds/speech/loss"),
    ],
)
def test_a_monitor_of_no_source_is_refused(refusal, monitor, hint):
    message = refusal("fit", CONFIG, *TINY, monitors(monitor))
    assert f"EarlyStopping monitors {monitor!r}, which no step logs, " in message
    assert hint in message


def test_losses_by_source_average_to_those_of_the_modality_and_a_resumed_run_is_the_same(tmp_path):
    settings = [CONFIG, *TINY, "--model.optimizer.schedule=constant"]
    assert run(tmp_path, "fit", *settings, "--trainer.limit_val_batches=1.0") == 0
    assert run(tmp_path, "fit", *settings, "--trainer.max_steps=4") == 0
    last = tmp_path / "digits_mixture/1/checkpoints/last.ckpt"
    assert run(tmp_path, "fit", f"--ckpt_path={last}", "--trainer.max_steps=6") == 0
    whole, resumed = weights(tmp_path / "digits_mixture/0"), weights(tmp_path / "digits_mixture/2")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    row = [row for row in rows(tmp_path / "digits_mixture/0") if "train/loss" in row][-1]
    again = [row for row in rows(tmp_path / "digits_mixture/2") if "train/loss" in row][-1]
    assert row == again
    assert float(row["train/source/pictures/documents"]) + float(row["train/source/sounds/documents"]) == 24
    row = {name: float(value) for name, value in row.items()}
    of_sources = [row[name] for name in row if name.startswith("train/source/") and name.endswith("/text/loss")]
    assert min(of_sources) - 1e-5 <= row["train/text/loss"] <= max(of_sources) + 1e-5
    losses = [row for row in rows(tmp_path / "digits_mixture/0") if "val/loss" in row][-1]
    assert {"val/source/pictures/image/loss", "val/source/sounds/speech/loss"} <= losses.keys()
    assert "val/source/pictures/speech/loss" not in losses
