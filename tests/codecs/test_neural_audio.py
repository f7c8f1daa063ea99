"""Neural audio codecs with tiny random networks: codebooks are flattened to one sequence and restored."""

import shutil

import pytest
import torch
from sounds import clips
from weight_files import lose_a_weight

from mot_lightning.codecs import NeuralCodec


def mimi():
    from transformers import MimiConfig, MimiModel

    sizes = {"hidden_size": 16, "num_filters": 4, "num_hidden_layers": 1, "intermediate_size": 16}
    books = {"codebook_size": 32, "codebook_dim": 8, "vector_quantization_hidden_dimension": 8, "num_quantizers": 4}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "sliding_window": 50, "upsample_groups": 16}
    return MimiModel(MimiConfig(sampling_rate=8_000, upsampling_ratios=[4, 4, 5, 4], **sizes, **books, **heads))


def encodec():
    from transformers import EncodecConfig, EncodecModel

    sizes = {"hidden_size": 16, "num_filters": 4, "codebook_size": 32, "num_lstm_layers": 1}
    return EncodecModel(EncodecConfig(target_bandwidths=[0.5, 1.0], sampling_rate=8_000, **sizes))


def dac():
    from transformers import DacConfig, DacModel

    sizes = {"encoder_hidden_size": 4, "decoder_hidden_size": 64, "downsampling_ratios": [2, 4, 4, 4]}
    return DacModel(DacConfig(n_codebooks=3, codebook_size=32, codebook_dim=4, sampling_rate=16_000, **sizes))


FRAME = {"mimi": 640, "encodec": 320, "dac": 64}  # samples at 8 kHz
BOOKS = {"mimi": 4, "encodec": 8, "dac": 3}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    names = {}
    for make in (mimi, encodec, dac):
        torch.manual_seed(0)
        network = make()
        for name, codes in network.named_buffers():  # zero when untrained: all sounds would have one code
            if name.endswith(("codebook.embed", "codebook.embed_sum")):
                codes.normal_(std=0.02)
        folder = tmp_path_factory.mktemp(make.__name__)
        network.save_pretrained(folder)
        names[make.__name__] = str(folder)
    return names


@pytest.mark.parametrize("kind", FRAME)
@pytest.mark.parametrize("samples", [0, 1, 3_000])
def test_each_frame_is_one_id_per_codebook_in_order(folders, kind, samples):
    codec, wave = NeuralCodec(folders[kind]), clips("val_en-us_f1.flac")[5][:samples]
    ids = codec.encode(wave)
    frames = max(1, -(-samples // FRAME[kind]))
    assert codec.vocab_size == 32 * BOOKS[kind]
    assert abs(len(ids) / BOOKS[kind] - frames) <= 1
    assert torch.equal(ids // 32, torch.arange(len(ids)) % BOOKS[kind])
    assert len(ids.unique()) > BOOKS[kind] or samples < 3_000
    back = codec.decode(ids)
    assert back.isfinite().all()
    assert abs(len(back) - frames * FRAME[kind]) <= FRAME[kind]


@pytest.mark.parametrize("kind", FRAME)
def test_decoding_equals_that_of_the_network(folders, kind):
    codec, wave = NeuralCodec(folders[kind]), clips("val_en-us_f1.flac")[5]
    network = codec.frozen.network
    rate = network.config.sampling_rate
    codes = codec.encode(wave).view(-1, BOOKS[kind]).T[None] % 32  # (1, k, t)
    with torch.no_grad():
        if kind == "encodec":
            expected = network.decode(codes[None], [None]).audio_values
        else:
            expected = network.decode(audio_codes=codes).audio_values
    if rate == 8_000:
        torch.testing.assert_close(codec.decode(codec.encode(wave)), expected.flatten().clamp(-1, 1))
    else:
        assert abs(len(codec.decode(codec.encode(wave))) * rate / 8_000 - expected.numel()) <= 2


@pytest.mark.parametrize("kind", FRAME)
def test_delay_pattern_shifts_each_codebook_by_one_frame(folders, kind):
    flat, delay = (NeuralCodec(folders[kind], codebooks=3, pattern=pattern) for pattern in ("flat", "delay"))
    wave = clips("val_en-us_f1.flac")[5]
    one, two = flat.encode(wave), delay.encode(wave)
    assert torch.equal(one.sort()[0], two.sort()[0])
    assert (two[:6] // 32).tolist() == [0, 0, 1, 0, 1, 2]  # step t holds codebook k of frame t - k
    assert torch.equal(two[two // 32 == 2], one[one // 32 == 2])
    assert torch.equal(delay.decode(two), flat.decode(one))


@pytest.mark.parametrize("kind", FRAME)
def test_fewer_codebooks_keep_the_first_ones(folders, kind):
    wave = clips("val_en-us_f1.flac")[5]
    whole, part = NeuralCodec(folders[kind]).encode(wave), NeuralCodec(folders[kind], codebooks=2).encode(wave)
    assert torch.equal(part, whole[whole < 64])
    assert NeuralCodec(folders[kind], codebooks=2).decode(part).isfinite().all()


@pytest.mark.parametrize("kind", FRAME)
def test_any_ids_decode_to_a_finite_sound(folders, kind):
    codec = NeuralCodec(folders[kind], codebooks=2)
    whole = torch.tensor([3, 40, 5, 33])
    assert torch.equal(codec.decode(torch.tensor([3, 40, 5, 33, 7])), codec.decode(whole))  # incomplete frame dropped
    assert codec.decode(torch.tensor([3, 5, 7])).shape == (0,)
    assert codec.decode(torch.empty(0, dtype=torch.long)).shape == (0,)
    ids = torch.randint(64, (51,), generator=torch.Generator().manual_seed(0))
    assert codec.decode(ids).isfinite().all()


def test_state_dict_is_empty_and_the_hash_identifies_the_network(folders):
    codec = NeuralCodec(folders["mimi"])
    assert not codec.state_dict()
    assert codec.fingerprint({}) == NeuralCodec(folders["mimi"]).fingerprint({})
    assert codec.pretrained_hash != NeuralCodec(folders["dac"]).pretrained_hash


def test_invalid_arguments_raise_a_one_line_error(folders, tmp_path):
    from transformers import EncodecConfig, EncodecModel, HubertConfig

    HubertConfig().save_pretrained(tmp_path / "hubert")
    small = {"hidden_size": 16, "num_filters": 4, "codebook_size": 32, "num_lstm_layers": 1, "sampling_rate": 8_000}
    EncodecModel(EncodecConfig(audio_channels=2, **small)).save_pretrained(tmp_path / "stereo")
    refusals = [
        (lambda: NeuralCodec(folders["mimi"], codebooks=5), "codebooks is 5, wanted 1 to 4"),
        (lambda: NeuralCodec(folders["mimi"], pattern="later"), "pattern is 'later', wanted 'flat' or 'delay'"),
        (lambda: NeuralCodec(str(tmp_path / "hubert")), "it holds a hubert"),
        (lambda: NeuralCodec(str(tmp_path / "stereo")), "wanted mono"),
        (lambda: NeuralCodec("no/such-network"), "no/such-network"),
        (lambda: NeuralCodec(folders["mimi"], sample_rate=10), "sample_rate is 10, wanted"),
    ]
    for make, message in refusals:
        with pytest.raises(ValueError, match=message) as refused:
            make()
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", FRAME)
def test_missing_weight_raises_a_one_line_error_that_names_it(folders, tmp_path, kind):
    shutil.copytree(folders[kind], tmp_path / kind)
    missing = lose_a_weight(tmp_path / kind).partition(".")[2]  # some networks have a longer prefix than the file
    with pytest.raises(ValueError, match=rf"it has no weight \S*{missing} of the right shape") as refused:
        NeuralCodec(tmp_path / kind)
    assert "\n" not in str(refused.value)
