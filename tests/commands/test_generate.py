"""`generate`: prompts from the command line or a file, continued into files and a page; nothing of a run is built."""

import json
import shutil
import signal

import numpy as np
import pytest
import soundfile
import torch
from full_disk import full_disk
from PIL import Image
from runs import run, run_in_subprocess

from mot_lightning.codecs import Bytes
from mot_lightning.commands import COMMANDS
from mot_lightning.errors import CONTROL
from mot_lightning.generation import GenerationSettings
from mot_lightning.generation.prompts import read_prompts
from mot_lightning.generation.settings import DEFAULT_GUIDANCE
from mot_lightning.generation.stream import Stream
from mot_lightning.pipeline import MoTPipeline


@pytest.fixture
def checkpoint(trained):
    return f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"


def test_text_images_and_sounds_are_continued_into_files_and_a_page(capsys, tmp_path, trained, checkpoint):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(tmp_path / "image.wav", "PNG")  # an ending that lies
    soundfile.write(tmp_path / "sound.wav", rng.random(4000) - 0.5, 16000)
    arguments = ["--prompt=a", f"--prompt={tmp_path / 'image.wav'}", f"--prompt={tmp_path / 'sound.wav'}"]
    assert (
        run(tmp_path, "generate", checkpoint, *arguments, "--modalities=image,text,speech", f"--out={tmp_path / 'out'}")
        == 0
    )
    endings = {".png", ".txt", ".wav", ".html", ".md", ".json"}
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == endings
    assert str(tmp_path / "out") in capsys.readouterr().out
    page = (tmp_path / "out/index.html").read_text()
    assert page.count("data:image/png;base64,") == 2  # the prompt's and the new one
    assert page.count("<audio") == 2
    request = json.loads((tmp_path / "out/request.json").read_text())
    assert request["settings"]["modalities"] == ["image", "text", "speech"]
    assert request["checkpoint"] == str(trained / "checkpoints/last.ckpt")
    assert (
        run(tmp_path, "generate", checkpoint, f"--out={tmp_path / 'free'}", "--max_segments=2", "--num_samples=3") == 0
    )
    assert (tmp_path / "free").is_dir()


def test_each_prompt_of_a_file_is_continued_as_it_would_be_alone(tmp_path, checkpoint):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "zero.png")
    (tmp_path / "many.jsonl").write_text('["seven", "zero.png"]\n["two"]\n[]\n')  # a path beside the file
    options = [checkpoint, "--num_samples=2", "--modalities=text,image", "--max_length=9"]
    assert (
        run(
            tmp_path,
            "generate",
            *options,
            f"--prompts={tmp_path / 'many.jsonl'}",
            "--batch_size=4",
            f"--out={tmp_path / 'many'}",
        )
        == 0
    )
    assert run(tmp_path, "generate", *options, "--prompt=two", f"--out={tmp_path / 'two'}") == 0
    assert len(list((tmp_path / "many").glob("*_1_image.png"))) == 6 + 2  # and those of the prompt
    for sample in range(2):
        in_a_file, alone = (
            tmp_path / "many" / f"{2 + sample:02}_0_text.txt",
            tmp_path / "two" / f"{sample:02}_0_text.txt",
        )
        assert in_a_file.read_text() == alone.read_text()


def test_text_appears_as_it_is_sampled_and_no_character_in_halves(capsys):
    stream, printed = Stream({"words": Bytes()}), ""
    for id in "h\u00e9\U0001f600".encode():
        stream(0, "words", id)
        printed += capsys.readouterr().out
        assert "\ufffd" not in printed
    assert printed == "h\u00e9\U0001f600"
    stream(0, "words", 0xC3)
    assert capsys.readouterr().out == ""
    stream(0, "words", None)  # it ends in the middle of one: now it is what it is
    assert capsys.readouterr().out == "\ufffd\n"
    for id in [*b"ok", None]:
        stream(0, "words", id)
    assert capsys.readouterr().out == "ok\n"


def test_what_it_cannot_read_or_make_is_refused_in_one_line(refusal, tmp_path, checkpoint):
    (tmp_path / "notes.pdf").write_text("neither")
    assert "neither image nor speech" in refusal("generate", checkpoint, f"--prompt={tmp_path / 'notes.pdf'}")
    assert "gone.png" in refusal("generate", checkpoint, "--prompt=gone.png")
    assert "video" in refusal("generate", checkpoint, "--prompt=a", "--modalities=video")
    assert "temperature" in refusal("generate", checkpoint, "--prompt=a", "--temperature=-1")
    for option, words in (
        ("--temperature=hot", "hot"),
        ("--seed=-3", "--seed is -3, wanted at least 0"),
        ("--batch_size=0", "--batch_size is 0, wanted at least 1"),
        ("--num_samples=10000000000", "--num_samples is 10000000000, wanted at most 1000000"),
        ("--seed=99999999999999999999", "--seed is 99999999999999999999, wanted at most"),
        ("--temperature=.nan", "temperature is nan, wanted 0 or more, and finite"),
        ("--temperature=1e400", "temperature is inf, wanted 0 or more, and finite"),
        ("--top_p=2", "top_p is 2, wanted above 0, up to 1"),
        ("--min_p=.nan", "min_p is nan, wanted from 0 to 1"),
        ("--top_k=-1", "top_k is -1, wanted 0 (all) or more"),
        ("--repetition_penalty=.inf", "repetition_penalty is inf, wanted above 0, and finite"),
        ("--max_segments=0", "max_segments is 0, wanted at least 1"),
        ("--max_length=-1", "max_length is -1, wanted at least 1"),
        ("--guidance=.nan", "guidance is nan, wanted a number of 0 or more"),
        ("--modalities=text,,image", "modalities names '', wanted some of"),
        ("--allow=", "--allow is '', wanted the name of a package"),
        (f"--out={tmp_path / 'notes.pdf'}", "exists, wanted a new folder"),
        (f"--out={tmp_path / 'notes.pdf/x'}", "cannot be created: Not a directory"),
        ("--prompt=a\udcffb", "text is 'a\\udcffb', wanted UTF-8: surrogates not allowed"),
        ("--guidance.text=2", "guidance of text is 2, wanted 1"),
        ("--guidance.video=2", "guidance names 'video'"),
        ("--lengths.image=3", "image: a segment has 3 tokens, wanted 16"),
        ("--lengths=3", "wanted --lengths.MODALITY"),
        ("--lengths.NAME=3", "lengths names 'NAME', wanted some of image, speech, text"),
        ("--model.modalities.NAME.codec.name_or_path=x", "name_or_path names 'NAME'"),
        (f"--prompt={'x' * 300}", "tokens, wanted at most 128, the data.row_length of the run"),
        ("--prompts=gone.txt", "one of them"),
    ):
        assert words in refusal("generate", checkpoint, "--prompt=a", option)
    for text, words in (
        ("[" * 99_999, "wanted a JSON list"),
        ("", "has 0 prompts"),
        ("[1]\n", "line 1 is '[1]'"),
        ("{", "wanted a JSON list"),
    ):
        (tmp_path / "bad.jsonl").write_text(text)
        assert words in refusal("generate", checkpoint, f"--prompts={tmp_path / 'bad.jsonl'}")
    (tmp_path / "bad.jsonl").write_text('["a"]\n\n3\n')
    assert "line 3 is '3'" in refusal("generate", checkpoint, f"--prompts={tmp_path / 'bad.jsonl'}")
    assert "gone.txt" in refusal("generate", checkpoint, "--prompts=gone.txt")


@pytest.mark.parametrize("pattern", ["*request.json*", "*_image.png", "*_speech.wav", "*index.html*"])
def test_full_disk_ends_it_in_one_line(tmp_path, capsys, checkpoint, pattern):
    options = ["--prompt=a", "--modalities=image,speech", f"--out={tmp_path / 'out'}", "--max_length=4"]
    with full_disk(pattern):
        assert run(tmp_path, "generate", checkpoint, *options) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"error: {tmp_path / 'out'}")
    assert line.endswith(" cannot be written: No space left on device")


def test_control_characters_of_prompts_and_samples_do_not_reach_the_terminal(tmp_path, capsys, checkpoint):
    (tmp_path / "red\x1b[31m.jsonl").write_text('["a\\u001b[31mb"]\n')
    options = [f"--prompts={tmp_path}/red\x1b[31m.jsonl", f"--out={tmp_path}/\x9b1m", "--modalities=text"]
    assert run(tmp_path, "generate", checkpoint, *options, "--temperature=2", "--top_p=1") == 0
    output = capsys.readouterr()
    assert not CONTROL.search(output.out + output.err)
    assert "\\x1b[31mb" in output.out
    assert (tmp_path / "\x9b1m/index.html").is_file()
    stream = Stream({"words": Bytes()})
    for id in [*b"\x1b[2J", None]:
        stream(0, "words", id)
    assert capsys.readouterr().out == "\\x1b[2J\n"


def test_files_of_prompts_may_come_from_any_editor(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffone\r\n\r\ntwo\u2028three\n".encode())
    (tmp_path / "a.JSONL").write_text('\ufeff["one", "two\u2028three"]\r\n', encoding="utf-8")
    assert read_prompts(tmp_path / "a.txt") == [["one"], ["two\u2028three"]]
    assert read_prompts(tmp_path / "a.JSONL") == [["one", "two\u2028three"]]


def test_a_signal_loses_no_sample_that_was_finished(tmp_path, capsys, monkeypatch, checkpoint):
    continue_segments, calls = MoTPipeline.continue_segments, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGTERM)
        return continue_segments(*arguments)

    monkeypatch.setattr(MoTPipeline, "continue_segments", interrupted)
    options = ["--num_samples=4", "--batch_size=1", "--modalities=image", f"--out={tmp_path / 'out'}"]
    assert run(tmp_path, "generate", checkpoint, *options) == 143
    output = capsys.readouterr()
    assert output.err.endswith("\nstopped by SIGTERM\n")
    assert f"page: {tmp_path / 'out/index.html'}" in output.out
    assert "\n2 of 4 samples were finished\n" in output.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "00_0_image.png", "01_0_image.png", "index.html", "page.md", "request.json"}  # fmt: skip


def test_a_prompt_may_name_its_modality(tmp_path, trained, checkpoint, refusal):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.dat", "PNG")
    prompts = [f"image:{tmp_path / 'a.dat'}", "text:seven.png", "note: no modality"]
    arguments = [*(f"--prompt={words}" for words in prompts), "--modalities=text", "--max_length=2"]
    assert run(tmp_path, "generate", f"--ckpt_path={trained}", *arguments, f"--out={tmp_path / 'out'}") == 0
    assert (tmp_path / "out/00_prompt_0_image.png").is_file()
    assert (tmp_path / "out/00_prompt_1_text.txt").read_text() == "seven.png\n"
    assert (tmp_path / "out/00_prompt_2_text.txt").read_text() == "note: no modality\n"
    assert json.loads((tmp_path / "out/request.json").read_text())["checkpoint"].endswith("checkpoints/last.ckpt")
    assert "gone.png does not exist" in refusal("generate", checkpoint, "--prompt=image:gone.png")
    assert "not a readable sound file" in refusal("generate", checkpoint, f"--prompt=speech:{tmp_path / 'a.dat'}")


def test_negative_prompts_and_continued_segments_equal_those_of_the_pipeline(tmp_path, trained, checkpoint, refusal):
    pipeline = MoTPipeline.from_pretrained(trained)
    options = ["--prompt=two", "--modalities=image", "--negative_prompt=seven", "--negative_prompt=text:nine"]
    assert run(tmp_path, "generate", checkpoint, *options, f"--out={tmp_path / 'image'}") == 0
    ((image,),) = pipeline(["two"], negative_prompt=["seven", "nine"], modalities=("image",))
    pipeline.codecs["image"].media_type.write(image[1], tmp_path / "expected")
    assert (tmp_path / "image/00_0_image.png").read_bytes() == (tmp_path / "expected.png").read_bytes()
    assert json.loads((tmp_path / "image/request.json").read_text())["negative_prompt"] == ["seven", "text:nine"]
    options = ["--prompt=a handwr", "--continue_final_segment", "--modalities=text", "--max_length=5", "--seed=2"]
    assert run(tmp_path, "generate", checkpoint, *options, f"--out={tmp_path / 'text'}") == 0
    ((text,),) = pipeline(["a handwr"], continue_final_segment=True, modalities=("text",), max_length=5, seed=2)
    assert (tmp_path / "text/00_0_text.txt").read_text() == text[1] + "\n"
    page = (tmp_path / "text/index.html").read_text()
    assert page.index('<div class="prompt">') < page.index("a handwr") < page.index("sample 0")
    for arguments, message in (
        (["--prompt=a", "--negative_prompt=b", "--guidance=1"], "wanted a higher scale"),
        (["--continue_final_segment=yes"], "--continue_final_segment is 'yes', wanted no value"),
        (["--prompt=image:."], " is a folder, wanted a file"),
        (["--continue_final_segment"], "prompt 0 is empty, wanted a final segment of"),
        (["--prompt=a", "--negative_prompt=gone.png"], "gone.png does not exist"),
    ):
        assert message in refusal("generate", checkpoint, *arguments)


def test_a_checkpoint_outside_a_run_folder_writes_into_the_working_folder(tmp_path, monkeypatch, trained):
    (tmp_path / "moved/only").mkdir(parents=True)
    shutil.copy(trained / "checkpoints/last.ckpt", tmp_path / "moved/only/model.ckpt")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    options = ["--ckpt_path=../moved/only/model.ckpt", "--modalities=image"]
    assert run(tmp_path, "generate", *options) == 0
    assert (tmp_path / "here/generated/0/index.html").is_file()
    assert [path.name for path in (tmp_path / "moved").iterdir()] == ["only"]


def test_generating_builds_no_trainer_no_data_and_no_run_folder(tmp_path, trained, checkpoint):
    runs = sorted(trained.parent.iterdir())
    program = f"""
import sys
from mot_lightning.cli.main import main
main(["generate", {checkpoint!r}, "--prompt=a", "--modalities=image", "--out={tmp_path / "out"}"])
modules = "mot_lightning.experiment.build", "mot_lightning.experiment.resolve", "mot_lightning.module", "datamodules"
print(*(name for name in modules if name in sys.modules), "end")
"""
    assert run_in_subprocess("-c", program, cwd=tmp_path).splitlines()[-1] == "end"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(trained.parent.iterdir()) == runs


def test_a_codecs_training_has_no_model_to_generate_with(tmp_path, capsys, trained):
    saved = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    saved["config"]["model"] = {"codec": saved["config"]["model"]["modalities"]["image"]["codec"]}
    torch.save(saved, tmp_path / "codec.ckpt")
    assert run(tmp_path, "generate", f"--ckpt_path={tmp_path / 'codec.ckpt'}", "--prompt=a") == 2
    assert "is a codec's, wanted a model's" in capsys.readouterr().err


def test_help_states_the_defaults_of_the_settings():
    settings = {**GenerationSettings.__dataclass_fields__}
    for option in COMMANDS["generate"].options:
        if option.name in settings and option.name not in ("modalities", "guidance", "continue_final_segment"):
            default = f"{settings[option.name].default:g}" if option.name != "top_k" else "0: all"
            assert f"({default})" in option.help or f"({default};" in option.help, option.name
    (guidance,) = (option for option in COMMANDS["generate"].options if option.name == "guidance")
    assert f"({DEFAULT_GUIDANCE:g})" in guidance.help
