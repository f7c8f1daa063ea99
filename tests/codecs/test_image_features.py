"""Images as features of vision models: tiny networks of transformers, saved with their image processors."""

import json

import pytest
import torch
from tiny_networks import save_dinov2, save_siglip, save_vit
from weight_files import lose_a_weight

from mot_lightning import Bytes, ImageFeatures, Modality, NextToken, objectives
from mot_lightning.backbone import BackboneSettings
from mot_lightning.modality import assemble

SHAPE = (1, 8, 8)


SAVED = {save_siglip: (4, 4), save_vit: (4, 4), save_dinov2: (3, 3)}
every_model = pytest.mark.parametrize("save", [pytest.param(one, id=one.__name__) for one in SAVED])


def images(n=6):
    return list(torch.rand((n, *SHAPE), generator=torch.Generator().manual_seed(0)))


@every_model
def test_tokens_are_the_features_of_patches_row_by_row(tmp_path, save):
    save(tmp_path)
    codec = ImageFeatures(SHAPE, tmp_path)
    assert codec.grid == SAVED[save]
    assert (codec.length, codec.latent_dim) == (SAVED[save][0] * SAVED[save][1], 16)
    dark, light = torch.zeros(SHAPE), torch.zeros(SHAPE)
    light[:, :3, 5:] = 1  # a corner
    tokens = codec.encode(light)
    assert tokens.shape == (codec.length, 16)
    assert torch.equal(tokens, codec.encode(light))
    hidden = codec.frozen.network.embeddings(codec._pixels(light)) - codec.frozen.network.embeddings(
        codec._pixels(dark)
    )
    changed = hidden[0, -codec.length :].abs().amax(-1).view(codec.grid) > 1e-3
    assert changed[0, -1]
    assert not changed[-1, 0]


def test_a_class_token_and_registers_are_no_tokens(tmp_path):
    from transformers import AutoModel

    save_dinov2(tmp_path)
    codec, image = ImageFeatures((3, 12, 12), tmp_path), torch.rand(3, 12, 12)
    network = AutoModel.from_pretrained(tmp_path)
    with torch.no_grad():
        whole = network(codec._pixels(image)).last_hidden_state[0]
    assert len(whole) == 1 + 3 + 9
    torch.testing.assert_close(codec.encode(image), whole[4:])


def test_fit_standardises_the_features_of_training_images(tmp_path):
    save_siglip(tmp_path)
    codec = ImageFeatures(SHAPE, tmp_path)
    codec.fit(images())
    tokens = torch.cat([codec.encode(image) for image in images()])
    torch.testing.assert_close(tokens.mean(0), torch.zeros(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(tokens.std(0, correction=0), torch.ones(16), atol=1e-3, rtol=0)


def test_its_state_has_what_it_learned_and_its_fingerprint_the_weights_and_the_processor(tmp_path):
    save_vit(tmp_path)
    codec = ImageFeatures(SHAPE, tmp_path)
    assert {*codec.state_dict()} == {"mean", "std"}
    first = codec.fingerprint(codec.state_dict())
    assert first == ImageFeatures(SHAPE, tmp_path).fingerprint(codec.state_dict())
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "image_mean": [0.1, 0.2, 0.3]}))
    assert first != ImageFeatures(SHAPE, tmp_path).fingerprint(codec.state_dict())
    save_vit(tmp_path, seed=1)
    assert first != ImageFeatures(SHAPE, tmp_path).fingerprint(codec.state_dict())


def test_decode_says_that_it_cannot(tmp_path):
    save_vit(tmp_path)
    with pytest.raises(ValueError, match=r"^ImageFeatures cannot decode, wanted a codec that can"):
        ImageFeatures(SHAPE, tmp_path).decode(torch.zeros(16, 16))


def test_only_observed_fits_and_others_are_refused_in_one_line(tmp_path):
    save_vit(tmp_path)
    settings = BackboneSettings(dim=16, depth=1, heads=1)
    for name in ("Diffusion", "FlowMatching", "NextLatent", "Regression", "NextToken", "MaskedToken", "Observed"):
        view = Modality(ImageFeatures(SHAPE, tmp_path), getattr(objectives, name)())
        modalities = {"text": Modality(Bytes(), NextToken()), "view": view}
        if name == "Observed":
            assert assemble(modalities, "text", settings).grammar.predicted == ("text",)
            continue
        kind = "ids" if "Token" in name else "latents"
        message = (
            f"^{name} does not fit modality 'view': its codec makes latents that it cannot decode, wanted Observed "
        )
        with pytest.raises(ValueError, match=message + f"or a codec that makes {kind} that it can$"):
            assemble(modalities, "text", settings)


def test_pickled_missing_and_broken_weights_are_refused_in_one_line(tmp_path):
    save_vit(tmp_path / "vit")
    weights = ImageFeatures(SHAPE, tmp_path / "vit").frozen.network.state_dict()
    lose_a_weight(tmp_path / "vit")
    save_vit(tmp_path / "pickled")
    (tmp_path / "pickled/model.safetensors").unlink()
    torch.save(weights, tmp_path / "pickled/pytorch_model.bin")
    (tmp_path / "code").mkdir()
    (tmp_path / "code/config.json").write_text('{"auto_map": {"AutoModel": "code.Model"}}')
    for folder, reason in (("vit", "it has no weight"), ("pickled", ""), ("code", "names code of its own"), ("no", "")):
        with pytest.raises(
            ValueError, match=f"^ImageFeatures: name_or_path is .*{folder}', wanted a folder .*: .*{reason}"
        ) as refused:
            ImageFeatures(SHAPE, tmp_path / folder)
        assert "\n" not in str(refused.value)
