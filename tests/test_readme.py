"""The README's Python runs, and the files and commands that it names exist."""

import re
from pathlib import Path

from mot_lightning.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_python_block_runs():
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_every_command_and_config_exists():
    assert set(re.findall(r"mot_lightning (\w+)", README)) >= {"fit", "test", "generate"}
    assert set(re.findall(r"python -m mot_lightning (\w+)", README)) <= set(COMMANDS)
    for path in re.findall(r"(?:conf|mot_lightning|datamodules|tests)/[\w/]+\.(?:yaml|py)", README):
        assert (ROOT / path).is_file(), path
