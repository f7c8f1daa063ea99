"""Trains a tiny language model on captions of digits: `python -m datamodules.digits.language_model --out FOLDER`.

It stands for a language model of Hugging Face where nothing is downloaded: a Llama in a folder that transformers and
`model.pretrained` load, trained in a minute or two on captions of every kind. `conf/upcycle.yaml` starts from it.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from datamodules.digits.captions import WORDS, caption
from mot_lightning.bar import Bar
from mot_lightning.errors import ConfigError
from mot_lightning.interop.folder import check_new_folder

END = "<|end|>"  # begins and ends each text
# of conf/default.yaml, so that the towers of other modalities have the size that they have there
SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 384,
    "initializer_range": 128**-0.5,  # the default is for widths of thousands: keys would be too small to be attended to
}
KINDS = ((True, True), (True, False), (False, True), (False, False))  # with an image, with a sound


def captions(seed: int) -> Iterator[str]:
    """Captions without end: every digit and kind of document is as likely."""
    rng = np.random.default_rng(seed)
    while True:
        yield caption(int(rng.integers(len(WORDS))), *KINDS[rng.integers(len(KINDS))], rng)


def train_tokenizer(texts: Sequence[str]) -> Tokenizer:
    """Byte-level BPE in which the words of the captions are single tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=384, special_tokens=[END], initial_alphabet=alphabet, show_progress=False),
    )
    return tokenizer


def batch_of(texts: Sequence[str], tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    """Padded ids of texts between two end ids, and the targets: the next id, -100 on padding; (b, s) each."""
    end = tokenizer.token_to_id(END)
    rows = [[end, *tokenizer.encode(text).ids, end] for text in texts]
    size = max(map(len, rows)) - 1
    ids = torch.tensor([row[:-1] + [end] * (size + 1 - len(row)) for row in rows])
    return ids, torch.tensor([row[1:] + [-100] * (size + 1 - len(row)) for row in rows])


def train(folder: Path, steps: int = 400, batch_size: int = 64, learning_rate: float = 2e-3, seed: int = 0) -> float:
    """Train a Llama on captions and save it with its tokenizer.

    Returns:
        The mean loss of the last tenth of the steps, in nats per token.

    Raises:
        ConfigError: no folder can be written there, or it has files; or there are no steps.
    """
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # takes seconds

    if steps < 1:
        raise ConfigError(f"--steps is {steps}, wanted at least 1")
    if seed < 0:
        raise ConfigError(f"--seed is {seed}, wanted 0 or more")
    check_new_folder(folder, "--out")
    stream = captions(seed)
    tokenizer = train_tokenizer([next(stream) for _ in range(2000)])
    end = tokenizer.token_to_id(END)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ids: dict[str, Any] = {"vocab_size": tokenizer.get_vocab_size(), "bos_token_id": end, "eos_token_id": end}
        model = LlamaForCausalLM(LlamaConfig(**SIZES, **ids))
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    losses: list[float] = []
    with Bar(range(steps), desc="Language model", unit="step") as bar:
        for _ in bar:
            inputs, targets = batch_of([next(stream) for _ in range(batch_size)], tokenizer)
            loss = F.cross_entropy(model(input_ids=inputs).logits.flatten(0, 1), targets.flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END).save_pretrained(folder)
    last = losses[-max(1, steps // 10) :]
    return sum(last) / len(last)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--out", type=Path, required=True, help="new folder of the language model")
    parser.add_argument("--steps", type=int, default=400, help="batches of 64 captions (400)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and captions (0)")
    arguments = parser.parse_args()
    try:
        loss = train(arguments.out, arguments.steps, seed=arguments.seed)
    except ConfigError as error:
        parser.exit(2, f"error: {error}\n")
    print(f"{arguments.out}: {loss:.3f} nats per token in the last tenth of the steps")


if __name__ == "__main__":
    main()
