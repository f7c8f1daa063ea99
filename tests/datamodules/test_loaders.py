"""Loaders by a number of tokens: of documents, of media to train a codec, in runs and evaluations."""

import json
from itertools import islice

import pytest
import torch
from digit_documents import digits
from runs import ROOT, TINY, rows, run


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_a_loader_fit_and_fill_their_tokens(workers):
    data = digits(tokens=300, num_workers=workers)
    loaders = data.train_dataloader(), data.val_dataloader(), data.test_dataloader()
    for loader in loaders:
        sizes = [len(batch.layout.slot) for batch in islice(loader, 20)]
        assert all(300 - 77 < size <= 300 for size in sizes)  # the longest document has 77 tokens
    assert [len(loader) for loader in loaders[1:]] == [len([*loader]) for loader in loaders[1:]]
    numbers = [number for batch in islice(loaders[0], 20) for number in batch.step.numbers.tolist()]
    assert numbers == [*range(len(numbers))]


@pytest.mark.parametrize("settings", [{"tokens": 300}, {"batch_size": 7}])
def test_sizes_of_batches_are_those_of_the_loader(settings):
    data = digits(**settings)
    documents = data.documents("train")
    sizes = data.batch_sizes([documents.length(index) for index in data.first("train", 100)])
    assert sum(sizes) == 100
    assert sizes[:-1] == [len(batch.step.numbers) for batch in islice(data.train_dataloader(), len(sizes) - 1)]


def test_no_sample_changes_with_the_tokens_of_a_batch():
    def tokens(**settings):
        batches = islice(digits(**settings).train_dataloader(), 60)
        return torch.cat([batch.by_modality["speech"].tokens for batch in batches])

    ours, theirs = tokens(tokens=200), tokens(batch_size=4)
    count = min(len(ours), len(theirs))
    assert count > 100
    assert torch.equal(ours[:count], theirs[:count])


def test_media_to_train_a_codec_come_by_batch_size():
    data = digits(tokens=200, batch_size=6)
    data.train_codec_on("image")
    assert [len(next(iter(loader))) for loader in (data.train_dataloader(), data.val_dataloader())] == [6, 6]


@pytest.mark.parametrize("tokens", [0, 100, 255])
def test_fewer_tokens_than_a_row_are_refused(tokens):
    with pytest.raises(ValueError, match=f"data.tokens is {tokens}, wanted at least data.row_length, 256"):
        digits(tokens=tokens, row_length=256)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [(["--trainer.overfit_batches=2"], 6), (["--trainer.limit_train_batches=3", "--trainer.max_epochs=2"], 6),
     (["--data.too_long=split", "--data.row_length=48"], 6), (["--trainer.limit_val_batches=0.05"], 6)],
)  # fmt: skip
def test_a_run_trains_and_says_that_lengths_are_encoded(tmp_path, capsys, settings, steps):
    assert run(tmp_path, "fit", *TINY, "--data.tokens=200", *settings) == 0
    assert "data.tokens: documents of Digits are encoded in the main process too" in capsys.readouterr().out
    logged = rows(tmp_path / "default/0")
    assert [int(row["step"]) for row in logged if "train/loss" in row] == [*range(1, steps + 1)]
    assert sum("val/loss" in row for row in logged) == 2


def test_skipped_documents_are_counted_also_when_a_run_is_resumed(tmp_path):
    settings = [
        f"--config={ROOT / 'conf/tiny_shakespeare.yaml'}", *TINY, "--model.optimizer.schedule=constant",
        "--data.row_length=120", "--data.too_long=skip", "--data.max_bad_fraction=1", "--data.tokens=300",
    ]  # fmt: skip
    assert run(tmp_path, "fit", *settings) == 0
    assert run(tmp_path, "fit", *settings, "--trainer.max_steps=4") == 0
    last = tmp_path / "tiny_shakespeare/1/checkpoints/last.ckpt"
    assert run(tmp_path, "fit", f"--ckpt_path={last}", "--trainer.max_steps=6") == 0
    whole, resumed = ([r for r in rows(tmp_path / f"tiny_shakespeare/{n}") if "train/loss" in r][-1] for n in (0, 2))
    assert float(whole["train/skipped/Records/text/too_long"]) > 6
    assert whole == resumed


def test_losses_of_an_evaluation_do_not_depend_on_the_tokens_of_a_batch(tmp_path):
    assert run(tmp_path, "fit", *TINY, "--trainer.precision=64-true", "--trainer.limit_test_batches=1.0") == 0
    last = f"--ckpt_path={tmp_path / 'default/0/checkpoints/last.ckpt'}"
    for number, tokens in enumerate((200, 1000)):
        assert run(tmp_path / str(number), "test", last, f"--data.tokens={tokens}") == 0
    results = [json.loads(path.read_text()) for path in sorted(tmp_path.rglob("metrics.json"))]
    assert len(results) == 3
    for name in ("test/text/loss", "test/image/loss", "test/speech/loss"):
        assert [result[name] for result in results] == pytest.approx([results[0][name]] * 3, rel=1e-9)
