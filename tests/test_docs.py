"""The README, CONTRIBUTING, the docs and the heads of configs: Python runs, commands resolve, and named files exist."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from runs import ROOT

from mot_lightning.analysis.suite.settings import read_suite
from mot_lightning.cli.arguments import find_command, parse
from mot_lightning.cli.main import main
from mot_lightning.commands.generate import _by_modality
from mot_lightning.experiment.build import build
from mot_lightning.experiment.resolve import resolve
from mot_lightning.runs.checkpoint import read_checkpoint

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONFIGS = sorted((ROOT / "conf").rglob("*.yaml"))
BLOCK = re.compile(r'^```python(?: title="(.+?)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
YAML = re.compile(r'^```yaml title="(.+?)"\n(.*?)^```', re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(?:-m mot_lightning|mot-lightning) +([a-z][^\n#`]*)")
PATH = re.compile(r"(?<![\w./])(?:benchmarks|conf|datamodules|docs|mot_lightning|notebooks|tests)/[\w./*-]*[\w/]")
# need a package, a device, a folder of data, or hours
NOT_HERE = ("WandbLogger", "MLFlowLogger", "accelerator=gpu", "fsdp2", "FOLDER", "runs/vq", "size/")


def name(path):
    return str(path.relative_to(ROOT)).removeprefix("docs/")


def text(path):
    return path.read_text(encoding="utf-8")


def commands(path):
    """The arguments of each command line of a page, in order."""
    return COMMAND.findall(re.sub(r"\\\n\s*", " ", text(path)))


@pytest.fixture
def reader(tmp_path, monkeypatch, trained, language_models):
    """A reader's folder with a finished run and a language model; modules that a page writes there can be imported."""
    (tmp_path / "runs/default").mkdir(parents=True)
    (tmp_path / "runs/default/0").symlink_to(trained)
    (tmp_path / "runs/caption_lm").symlink_to(language_models["llama"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = {*sys.modules}
    yield tmp_path
    for module in {*sys.modules} - before:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[module]


def write_modules(folder, *paths):
    """Write the Python and YAML blocks that have a title to files of that name."""
    for path in paths:
        for title, block in BLOCK.findall(text(path)) + YAML.findall(text(path)):
            if title:
                (folder / title).write_text(block, encoding="utf-8")


@pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")
@pytest.mark.filterwarnings("ignore:.*lightning_logs.*")
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=name(path)) for path in PAGES if BLOCK.search(text(path))],
)
def test_every_python_block_runs(path, reader):
    """Blocks of one page run in order, in one namespace."""
    write_modules(reader, path)
    namespace = {"__name__": "__main__"}
    for title, block in BLOCK.findall(text(path)):
        exec(compile(block, title or name(path), "exec"), namespace)
    for test in [value for key, value in namespace.items() if key.startswith("test_")]:
        test()


def test_readme_trains_in_15_lines():
    ((_, block),) = BLOCK.findall(text(ROOT / "README.md"))
    assert len([line for line in block.splitlines() if line.strip()]) <= 15
    assert "trainer.fit(" in block


def resolved(line):
    """The config of a command line; None of a command that builds nothing."""
    argv = shlex.split(line)
    if any(word.startswith("--help") or word.partition("=")[0].endswith(".help") for word in argv):
        main(argv)
        return None
    command = find_command(argv[0])
    invocation = parse(command, argv[1:])
    if not (command.builds and command.takes_settings):
        if command.builds:
            _by_modality(invocation.settings)
        if command.name == "suite" and invocation.paths:
            read_suite(*invocation.paths, invocation.settings)
        return None
    start = invocation.ckpt_path or invocation.options.get("init_from")
    base = read_checkpoint(Path(start))["config"] if start else None
    config = resolve(
        invocation.configs, invocation.settings, invocation.allow, base, may_change=not invocation.ckpt_path
    )
    return config, invocation.allow


WITH_COMMANDS = [pytest.param(path, id=name(path)) for path in [*PAGES, *CONFIGS] if commands(path)]


@pytest.mark.parametrize("path", WITH_COMMANDS)
def test_every_command_line_resolves(path, reader, capsys):
    write_modules(reader, *PAGES, path)
    for line in commands(path):
        resolved(line)


@pytest.mark.slow
@pytest.mark.parametrize("path", [param for param in WITH_COMMANDS if param.values[0] in PAGES])
def test_every_command_line_builds(path, reader, capsys):
    write_modules(reader, *PAGES, path)
    for line in commands(path):
        if not any(words in line for words in NOT_HERE) and (config := resolved(line)):
            build(*config, reader / "runs/new")


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_named_path_exists(path):
    for named in PATH.findall(text(path)):
        assert list(ROOT.glob(named)), named


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_lines_of_text_fit(path):
    long = [line for line in text(path).splitlines() if len(line) > 130 and not line.startswith(("|", "`python "))]
    assert not long


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_head_of_a_config_says_paper_command_cost_and_result(path):
    head = [line for line in text(path).splitlines() if line.startswith("#")]
    assert re.findall(r"^# (\w+):", "\n".join(head[2:]), re.MULTILINE) == ["paper", "command", "cost", "result"]
    assert path.stem == "default" or f"{path.relative_to(ROOT)}" in head[3]
