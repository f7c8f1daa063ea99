"""HuBERT units with a tiny random network: encoding, decoding and loading."""

import shutil

import pytest
import torch
import torchaudio
from sounds import clips
from torchaudio.pipelines._wav2vec2.impl import Wav2Vec2Bundle
from weight_files import lose_a_weight

from mot_lightning.codecs import HubertUnits

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.fixture(scope="module")
def name(tmp_path_factory) -> str:
    from transformers import HubertConfig, HubertModel

    torch.manual_seed(0)
    config = HubertConfig(**SIZES, conv_dim=(8,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2)
    folder = tmp_path_factory.mktemp("hubert")
    HubertModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def codec(name) -> HubertUnits:
    codec = HubertUnits(name, vocab_size=16, griffin_lim_iterations=4)
    codec.fit(clips("train_en-us_m1.flac"))
    return codec


@pytest.mark.parametrize("samples", [0, 1, 319, 320, 321, 3_000])
def test_encode_gives_one_unit_per_40_ms_with_repeats_removed(codec, samples):
    clip = clips("val_en-us_f1.flac")[5]
    assert len(codec._features(clip[:samples])) == max(1, -(-samples // 320))
    ids = codec.encode(clip[:samples])
    assert 1 <= len(ids) <= max(1, -(-samples // 320))
    assert (ids[1:] != ids[:-1]).all()


def test_units_are_decoded_at_their_mean_duration(codec):
    """The decoded training sounds have about the same total length as the originals."""
    sounds = clips("train_en-us_m1.flac")
    decoded = [codec.decode(codec.encode(sound)) for sound in sounds]
    assert sum(map(len, decoded)) == pytest.approx(sum(map(len, sounds)), rel=0.1)
    assert (codec.durations >= 1).all()
    assert codec.durations.max() > 1
    for wave in decoded:
        assert wave.isfinite().all()
        assert wave.abs().max() == pytest.approx(0.5)
    assert codec.decode(torch.empty(0, dtype=torch.long)).shape == (0,)


def test_loudness_does_not_change_the_ids(codec):
    clip = clips("val_en-us_f1.flac")[5]
    assert torch.equal(codec.encode(0.1 * clip), codec.encode(clip))


def test_state_dict_restores_the_codec_without_the_network(codec, name, tmp_path):
    torch.save(codec.state_dict(), tmp_path / "codec.pt")
    assert not any("encoder" in key for key in codec.state_dict())
    other = HubertUnits(name, vocab_size=16, griffin_lim_iterations=4)
    other.load_state_dict(torch.load(tmp_path / "codec.pt", weights_only=True))
    ids = codec.encode(clips("val_en-us_f1.flac")[5])
    assert torch.equal(other.encode(clips("val_en-us_f1.flac")[5]), ids)
    assert torch.equal(other.decode(ids), codec.decode(ids))


def test_torchaudio_pipeline_is_loaded_by_name(monkeypatch, tmp_path):
    settings = {
        "extractor_mode": "group_norm", "extractor_conv_layer_config": [(8, 10, 5), (8, 8, 4), (8, 4, 2), (8, 8, 8)],
        "extractor_conv_bias": False, "encoder_embed_dim": 16, "encoder_projection_dropout": 0.0,
        "encoder_pos_conv_kernel": 16, "encoder_pos_conv_groups": 2, "encoder_num_layers": 2, "encoder_num_heads": 2,
        "encoder_attention_dropout": 0.0, "encoder_ff_interm_features": 16, "encoder_ff_interm_dropout": 0.0,
        "encoder_dropout": 0.0, "encoder_layer_norm_first": False, "encoder_layer_drop": 0.0, "aux_num_out": None,
    }  # fmt: skip
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    torch.save(torchaudio.models.wav2vec2_model(**settings).state_dict(), tmp_path / "hub/checkpoints/tiny.pth")
    bundle = Wav2Vec2Bundle(
        "tiny.pth", settings, _sample_rate=16_000, _normalize_waveform=False, _model_type="Wav2Vec2"
    )
    monkeypatch.setattr(torchaudio.pipelines, "HUBERT_TINY", bundle, raising=False)
    codec = HubertUnits("HUBERT_TINY", vocab_size=8, layer=2, griffin_lim_iterations=4)
    codec.fit(clips("train_en-us_m1.flac")[:5])
    ids = codec.encode(clips("val_en-us_f1.flac")[5])
    assert 1 < len(ids) <= len(clips("val_en-us_f1.flac")[5]) / 320 + 1
    assert len(codec.pretrained_hash) == 64


def test_invalid_arguments_raise_a_one_line_error(name, codec, tmp_path):
    from transformers import BertConfig

    BertConfig().save_pretrained(tmp_path)
    few = HubertUnits(name, vocab_size=1_000)
    refusals = [
        (lambda: HubertUnits(name, layer=4), "layer is 4, wanted 1 to 3"),
        (lambda: HubertUnits(str(tmp_path)), "it holds a bert"),
        (lambda: HubertUnits("no/such-network"), "no/such-network"),
        (lambda: few.encode(torch.ones(800)), "no centroids yet"),
        (lambda: few.fit([torch.ones(800)]), "vocab_size is 1000, wanted at most the 3 units"),
        (lambda: codec.encode(torch.full((800,), torch.nan)), "finite"),
        (lambda: codec.encode(torch.ones(2, 800)), r"audio is \(2, 800\), wanted one channel"),
    ]
    for call, message in refusals:
        with pytest.raises(ValueError, match=message) as refused:
            call()
        assert "\n" not in str(refused.value)


def test_missing_weight_raises_a_one_line_error_that_names_it(name, tmp_path, capfd):
    shutil.copytree(name, tmp_path / "hubert")
    missing = lose_a_weight(tmp_path / "hubert")
    with pytest.raises(ValueError, match=f"it has no weight {missing} of the right shape") as refused:
        HubertUnits(str(tmp_path / "hubert"))
    assert "\n" not in str(refused.value)
    assert "LOAD REPORT" not in capfd.readouterr().err
