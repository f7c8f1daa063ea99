"""What `--help` shows: each command on one screen."""

COMMANDS = {
    "fit": "train, then measure and show",
    "validate": "losses of a checkpoint on the validation split",
    "test": "losses and cross-modal tasks of a checkpoint on the test split",
    "generate": "continue a prompt of text, images and sounds",
}

USAGE = """usage: python -m mot_lightning COMMAND [options]

commands:
{commands}

python -m mot_lightning COMMAND --help   says more"""

HELP = """usage: python -m mot_lightning {command} [options]

{about}.

{lead}
  --config FILE            says only what differs from {base}; may be given again
  --KEY=VALUE              any setting, by its dotted name:
{settings}
  --allow PACKAGE          lets class_path name classes of this package
  --print_config           shows the whole config and stops
  --help-all               every setting with its type and default
  --help                   this page
"""

FIT_SETTINGS = (
    ("--model.modalities.image.objective=Diffusion", "of latents; also FlowMatching, Regression"),
    ("--model.modalities.speech.objective=NextToken", "of ids; also MaskedToken, where a segment's length is fixed"),
    ("--model.modalities.image.weight=5", "its weight in the loss"),
    ("--model.modalities.speech=null", "leave a modality out"),
    ("--model.backbone.dim=256", "width; also depth, heads, ffn_dim, dropout, towers"),
    ("--model.optimization.learning_rate=1e-3", "also warmup, weight_decay, ema"),
    ("--data.batch_size=64", "documents in a batch; also image_root, speech_root"),
    ("--trainer.max_steps=3000", "and whatever else Lightning's Trainer takes"),
    ("--report.guidance=3", "classifier-free guidance of the guided figures"),
    ("--report.temperature=0.3", "of ids that the report's tasks draw: lower is surer, less diverse"),
    ("--seed=1", "of weights, data and noise"),
    ("--experiment=NAME", "the run folder is runs/NAME/0, 1, 2, ..."),
)
CHECKPOINT_SETTINGS = (
    ("--data.batch_size=64", "data may differ from the run's; model settings may not"),
    ("--model.modalities.image.codec.name_or_path=DIR", "where a codec's folder lies now"),
    ("--trainer.accelerator=gpu", "and whatever else Lightning's Trainer takes"),
)
GENERATE_OPTIONS = """  --prompt TEXT_OR_FILE    text, or the path of an image or a sound; given again, the next
                           segment of the same document; without one the model begins by itself
  --prompts FILE           many: a line each; a .jsonl file has a list of texts and paths a line,
                           where relative paths start from the file's own folder
  --num_samples N          continuations of each prompt (1)
  --batch_size N           how many are made at once (64): changes memory and time, no sample but for rounding
  --modalities a,b         the segments to make, in this order; the model chooses when absent
  --lengths.NAME N         tokens of a segment of a modality, where no stop id ends it
  --guidance G             classifier-free guidance scale of images (2); --guidance.NAME G of one modality
  --temperature T          of text and units and of the choice of modality; 0 takes the likeliest (0.5)
  --top_k, --top_p, --min_p, --repetition_penalty   what may be drawn (0, 0.95, 0, 1)
  --max_segments N         the most segments that the model may choose (4)
  --max_length N           the most tokens of a text or sound (256)
  --seed N                 of all draws (0); a sample does not depend on the others
  --out FOLDER             where index.html, page.md, request.json, text, PNG and WAV go
                           (a new one beside the checkpoint's run)
"""


def help_page(command: str) -> str:
    settings = FIT_SETTINGS if command == "fit" else CHECKPOINT_SETTINGS
    lead = "  --ckpt_path FILE         " + (
        "go on from a checkpoint, in a new run folder"
        if command == "fit"
        else "the checkpoint (needed); it brings model, codecs and data"
    )
    if command == "generate":
        lead += "\n" + GENERATE_OPTIONS.rstrip()
    return HELP.format(
        command=command,
        about=COMMANDS[command][0].upper() + COMMANDS[command][1:],
        lead=lead,
        base="conf/default.yaml" if command == "fit" else "the checkpoint's own config",
        settings="\n".join(f"      {name:<46} {what}" for name, what in settings),
    )
