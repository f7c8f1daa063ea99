"""Small random networks of transformers, saved as folders with all that their classes need."""

import json
from pathlib import Path

import torch

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def save_clip(folder: Path) -> str:
    """A CLIP of letters and images of 8 x 8 pixels."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    torch.manual_seed(0)
    pieces = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    ids = {piece: i for i, piece in enumerate(pieces)}
    text = {**SIZES, "vocab_size": len(ids), "max_position_embeddings": 24, "bos_token_id": 52, "eos_token_id": 53}
    vision = {**SIZES, "image_size": 8, "patch_size": 4}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    pixels = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    CLIPProcessor(pixels, CLIPTokenizer(vocab=ids, merges=[])).save_pretrained(folder)
    return str(folder)


def save_siglip(folder: Path) -> None:
    """A SigLIP of images of 16 x 16 pixels, in 16 patches."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    torch.manual_seed(0)
    vision = {**SIZES, "image_size": 16, "patch_size": 4}
    SiglipModel(SiglipConfig(text_config={**SIZES, "vocab_size": 9}, vision_config=vision)).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)


def save_vit(folder: Path, seed: int = 0) -> None:
    """A ViT of images of 8 x 8 pixels, in 16 patches, without a pooler."""
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    torch.manual_seed(seed)
    config = ViTConfig(**SIZES, image_size=8, patch_size=2)
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(folder)


def save_dinov2(folder: Path) -> None:
    """A DINOv2 with registers, of the middle 12 x 12 pixels, in 9 patches."""
    from transformers import BitImageProcessor, Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    torch.manual_seed(0)
    config = Dinov2WithRegistersConfig(**SIZES, image_size=20, patch_size=4, num_register_tokens=3)
    Dinov2WithRegistersModel(config).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 12, "width": 12}).save_pretrained(folder)


def save_ctc(folder: Path) -> str:
    """A wav2vec 2.0 that writes letters, at 16 kHz."""
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2Processor,
    )

    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    ids = {piece: i for i, piece in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *LETTERS])}
    (folder / "vocab.json").write_text(json.dumps(ids))
    config = Wav2Vec2Config(
        **SIZES, vocab_size=len(ids), conv_dim=(8,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2
    )
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer).save_pretrained(folder)
    return str(folder)


def save_whisper(folder: Path) -> str:
    """A Whisper that writes letters."""
    from transformers import (
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    torch.manual_seed(0)
    ids = {piece: i for i, piece in enumerate([*LETTERS, "<|endoftext|>"])}
    of_ends = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 26)
    config = WhisperConfig(
        vocab_size=len(ids), num_mel_bins=8, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_target_positions=12, **of_ends,
        suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    network = WhisperForConditionalGeneration(config)
    network.generation_config.max_length = 8
    network.save_pretrained(folder)
    features = WhisperFeatureExtractor(feature_size=8)
    WhisperProcessor(features, WhisperTokenizer(vocab=ids, merges=[])).save_pretrained(folder)
    return str(folder)
