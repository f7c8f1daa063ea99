"""What a command prints reaches the terminal without its control characters."""

import pytest

from mot_lightning.cli.main import main


@pytest.mark.parametrize(
    "arguments",
    [["a\x1b[31m"], ["fit", "--seed=\x1b]0;x\x07"], ["fit", "--config=\x1b[2J.yaml"], ["fit", "--allow=\x1b", "\x1b"],
     ["fit", "--model.modalities.\x1b[31m.weight=3"], ["generate", "--ckpt_path=\x1b[31m\u202e"]],
)  # fmt: skip
def test_control_characters_of_arguments_are_shown(capsys, arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    printed = capsys.readouterr().err
    assert "\\x1b" in printed
    assert not {"\x1b", "\x07", "\u202e"} & {*printed}
