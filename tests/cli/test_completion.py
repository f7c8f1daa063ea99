"""Shell completion of commands, options and settings."""

import contextlib
import io
import subprocess

import pytest

from mot_lightning.cli.main import main


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        main(["--print_completion=bash"])
    path = tmp_path_factory.mktemp("completion") / "script.bash"
    path.write_text(output.getvalue())
    return path


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (["f"], {"fit"}),
        (["generate", "--num"], {"--num_samples"}),
        (["fit", "--trainer.max_st"], {"--trainer.max_steps"}),
        (["fit", "--model.backbone.di"], {"--model.backbone.dim"}),
        (["fit", "--data.batch"], {"--data.batch_size"}),
        (["fit", "--model.modalities.image.codec.pa"], {"--model.modalities.image.codec.patch_size"}),
    ],
)
def test_bash_completes(script, words, completions):
    line = ["mot-lightning", *words]
    program = f"""
source {script}
COMP_WORDS=({" ".join(line)}); COMP_CWORD={len(line) - 1}
"$(complete -p mot-lightning | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    finished = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60)
    assert finished.stderr == ""
    assert {word.strip() for word in finished.stdout.split()} == completions


def test_a_shell_that_is_unknown_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--print_completion=fish9"])
    assert "--print_completion is 'fish9', wanted bash" in capsys.readouterr().err
