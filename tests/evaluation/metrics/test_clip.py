"""CLIPScore by a small random CLIP."""

import pytest
import torch
from tiny_networks import save_clip
from weight_files import lose_a_weight

from mot_lightning.evaluation.measure import measure
from mot_lightning.evaluation.metrics import CLIPScore

TEXTS = ["a seven", "a nine", "two of them"] * 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_clip(tmp_path_factory.mktemp("clip"))


def images(channels=1):
    return list(torch.rand(60, channels, 8, 8, generator=torch.Generator().manual_seed(0)))


def test_it_is_the_mean_cosine_of_image_and_text(folder):
    from transformers import CLIPModel, CLIPProcessor

    clip, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
    pixels = [(image * 255).round().byte() for image in images(3)]
    with torch.no_grad():
        inputs = processor(text=TEXTS, images=pixels, padding=True, return_tensors="pt")
        expected = clip(**inputs).logits_per_image.diagonal() / clip.logit_scale.exp()
    metric = CLIPScore(folder)
    row = measure(metric, images(3), TEXTS, ("text -> image", "clip", ""), 0)
    assert row.value == pytest.approx(100 * max(0, float(expected.mean())), abs=1e-3)
    assert row.low <= row.value <= row.high
    metric.update(images(), TEXTS)  # one channel is grey
    assert metric.compute().isfinite()


def test_a_folder_without_a_clip_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"^CLIPScore: name_or_path is '.*nowhere', wanted .* there is no such folder"):
        CLIPScore(tmp_path / "nowhere")
    lost = lose_a_weight(save_clip(tmp_path / "lost"))
    with pytest.raises(ValueError, match=f"it has no weight {lost}"):
        CLIPScore(tmp_path / "lost")


def test_pickled_weights_are_refused(tmp_path):
    folder = save_clip(tmp_path / "pickled")
    (weights,) = (tmp_path / "pickled").glob("*.safetensors")
    torch.save({}, weights.with_name("pytorch_model.bin"))
    weights.unlink()
    with pytest.raises(ValueError, match="safetensors"):
        CLIPScore(folder)
