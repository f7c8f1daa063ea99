"""torchmetrics' classes on media as tasks have them."""

import pytest
import torch
from torchmetrics import Metric
from torchmetrics.audio import ScaleInvariantSignalDistortionRatio
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure, TotalVariation
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance
from torchmetrics.text import BLEUScore, ROUGEScore, WordErrorRate

from mot_lightning.errors import ConfigError
from mot_lightning.evaluation.measure import measure
from mot_lightning.evaluation.metrics import BLEU, PSNR, SISDR, FrechetDistance
from mot_lightning.evaluation.metrics.adapted import adapted


class Means(torch.nn.Module):
    """uint8 images -> the means of their quarters, in a row."""

    num_features = 4

    def forward(self, images):
        assert images.dtype == torch.uint8
        assert images.shape[1] == 3
        return torch.nn.functional.adaptive_avg_pool2d(images.float().mean(1, keepdim=True), 2).flatten(1) / 25


class Seeing(Metric):
    """Keeps what it is updated with."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def compute(self):
        return torch.tensor(len(self.seen))


def seeing(update, **members):
    """A metric with an `update` as if it were torchmetrics'."""
    update.__module__ = "torchmetrics"
    return adapted(type("Seeing", (Seeing,), {"update": update, **members}))()


def images(n, seed=0):
    return list(torch.rand(n, 1, 12, 12, generator=torch.Generator().manual_seed(seed)))


def value(metric, media, targets):
    return measure(metric, media, targets, ("images", "metric", ""), seed=0)


def test_our_metrics_and_those_of_users_stay_as_they_are():
    assert adapted(PSNR) is PSNR
    assert adapted(FrechetDistance) is FrechetDistance
    assert adapted(BLEU) is BLEU


def test_images_are_compared_with_references():
    metric = adapted(PeakSignalNoiseRatio)(data_range=1.0)
    assert metric.compares_with == "references"
    expected = 10 * torch.log10(1 / (torch.stack(images(60)) - torch.stack(images(60, 1))).square().mean())
    assert value(metric, images(60), images(60, 1)).value == pytest.approx(float(expected), rel=1e-5)
    similar = value(adapted(StructuralSimilarityIndexMeasure)(data_range=1.0), images(60), images(60, 1))
    whole = structural_similarity_index_measure(torch.stack(images(60)), torch.stack(images(60, 1)), data_range=1.0)
    assert similar.value == pytest.approx(float(whole), rel=1e-4)
    assert similar.low < similar.value < similar.high


def test_sets_of_images_are_compared_by_any_extractor():
    metric = adapted(FrechetInceptionDistance)(feature=Means(), reset_real_features=False)
    metric.reference = images(70, 1)
    row, again = (value(metric, images(60), [0] * 60) for _ in range(2))
    ours = value(FrechetDistance(Means(), images(70, 1)), images(60), [0] * 60)
    assert row.value == pytest.approx(ours.value, rel=1e-6)
    assert (row.low, row.high) == (pytest.approx(ours.low, rel=1e-4), pytest.approx(ours.high, rel=1e-4))
    assert "fewer than 10,000" in row.note
    assert again == row
    assert value(metric, images(1), [0]).note == "unavailable: 1 samples, wanted at least 2"
    assert int(metric.real_features_num_samples) == 70  # once, for all measurements


def test_means_over_random_parts_have_a_value_and_no_interval():
    distance = adapted(KernelInceptionDistance)
    with pytest.warns(UserWarning, match="buffer"):
        metric = distance(feature=Means(), subsets=3, subset_size=20, reset_real_features=False)
    metric.reference = [image / 2 for image in images(40, 1)]
    row = value(metric, images(40), [0] * 40)
    assert row.value > 0
    assert row.low != row.low
    assert row.note == ""
    assert value(metric, images(40), [0] * 40) == row
    with pytest.warns(UserWarning, match="buffer"):
        score = adapted(InceptionScore)(feature=Means(), splits=2)
    assert score.compares_with == "labels"
    assert not hasattr(score, "reference")
    assert value(score, images(40), [0] * 40).value >= 1


def test_images_have_the_range_that_a_class_takes():
    image = torch.tensor([[[0.0, 0.5, 1.0]]])
    pairs = seeing(lambda self, img1, img2: self.seen.append((img1, img2)), normalize=False)
    pairs.update([image], [torch.zeros(1, 1, 3)])
    assert [one.flatten().tolist() for one in pairs.seen[0]] == [[-1, 0, 1], [-1, -1, -1]]
    alone = seeing(lambda self, imgs: self.seen.append(imgs), normalize=False)
    alone.update([image], [0])
    assert alone.seen[0].flatten().tolist() == [0, 128, 255]


def test_images_are_compared_with_the_texts_of_prompts():
    metric = seeing(lambda self, source, target: self.seen.append((source, target)))
    assert metric.compares_with == "texts"
    metric.update(images(60), [f"image {i}" for i in range(60)])
    assert [(source.dtype, len(source), target[0]) for source, target in metric.seen] == [
        (torch.uint8, 50, "image 0"),
        (torch.uint8, 10, "image 50"),
    ]


def test_media_alone():
    image = torch.tensor([[[0.0, 0.5], [0.25, 0.0]]])
    assert value(adapted(TotalVariation)(reduction="mean"), [image] * 3, [0] * 3).value == pytest.approx(1.5)


def test_texts_have_one_reference_or_several():
    said, references = ["a red seven here", "two"], ["a red seven there", "two"]
    errors = adapted(WordErrorRate)()
    assert value(errors, said, references).value == pytest.approx(1 / 5)
    several = [["a red seven here", "no"], ["two"]]
    assert "takes one reference" in value(errors, said, several).note
    assert value(adapted(BLEUScore)(), said, several).value == pytest.approx(1)


def test_sounds_are_compared_as_far_as_both_go():
    sounds, references = [torch.randn(400), torch.randn(300)], [torch.randn(350), torch.randn(500)]
    ours = value(SISDR(), sounds, references)
    row = value(adapted(ScaleInvariantSignalDistortionRatio)(), sounds, references)
    assert row.value == pytest.approx(ours.value, abs=1e-3)


def test_what_has_no_one_value_or_cannot_be_updated_says_so():
    row = value(adapted(ROUGEScore)(rouge_keys="rouge1"), ["a"], ["a"])
    assert row.note == (
        "unavailable: ROUGEScore computes rouge1_fmeasure, rouge1_precision, rouge1_recall, wanted one value"
    )

    class Three(WordErrorRate):
        pass

    Three.update = lambda self, preds, target, weights: None
    Three.update.__module__ = "torchmetrics.text"
    with pytest.raises(ConfigError, match="Three is updated with preds, target, weights, wanted media and at most one"):
        adapted(Three)
    assert issubclass(adapted(WordErrorRate), Metric)
    assert adapted(WordErrorRate).__module__ == "torchmetrics.text.wer"


@pytest.mark.parametrize(
    ("kind", "medium", "message"),
    [
        (WordErrorRate, torch.zeros(9), "WordErrorRate is for media of text, wanted one for audio"),
        (PeakSignalNoiseRatio, "a word", "PeakSignalNoiseRatio is for media of image, wanted one for text"),
        (
            ScaleInvariantSignalDistortionRatio,
            torch.zeros(1, 4, 4),
            "is for media of audio, wanted one for image",
        ),
    ],
)
def test_media_of_another_kind_are_refused(kind, medium, message):
    metric = adapted(kind)(**({"data_range": 1.0} if kind is PeakSignalNoiseRatio else {}))
    with pytest.raises(ValueError, match=message):
        metric.update([medium], [medium])


def test_interval_of_an_error_rate_above_one_reaches_above_its_value():
    texts, references = ["a b c d e f g", "a b c d e f", "q r s t u v w x y"] * 4, ["a b", "z", "q r"] * 4
    row = measure(adapted(WordErrorRate)(), texts, references, ("speech", "wer", ""), 0)
    assert row.value > 2
    assert row.low < row.value < row.high
