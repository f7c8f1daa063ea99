"""What `--help` shows: each command on one screen."""

from mot_lightning.commands import COMMANDS, Command

USAGE = """usage: python -m mot_lightning COMMAND [options]

commands:
{commands}

python -m mot_lightning COMMAND --help              options of a command
python -m mot_lightning --version
python -m mot_lightning --print_completion=SHELL    completion for bash, zsh or tcsh"""

PAGE = """usage: python -m mot_lightning {command} [options]

{summary}.

{checkpoint}{options}{settings}{allow}  --help                   this page
"""

SETTINGS = """  --config FILE            contains only the differences from {base};
                           may be repeated; - is standard input
  --KEY=VALUE              any setting, by its dotted name; --LIST+=VALUE appends:
{examples}
  --KEY.help               settings of a part or a class: --data.help, --data.help=Digits
  --print_config           prints the complete config and exits
  --help-all               every setting with its type and default
"""


def usage() -> str:
    """All commands."""
    return USAGE.format(commands="\n".join(f"  {name:<10} {c.summary}" for name, c in COMMANDS.items()))


def command_page(command: Command) -> str:
    """One command with its options and some settings."""
    options = "".join(f"  {_heading(o.name, o.metavar):<24} {o.help}\n" for o in command.options)
    examples = "\n".join(f"      {name:<46} {remark}" for name, remark in command.examples)
    base = "the checkpoint's config" if command.needs_checkpoint else "conf/default.yaml"
    return PAGE.format(
        command=f"{command.name} {command.paths}".rstrip(),
        summary=command.summary[0].upper() + command.summary[1:],
        checkpoint=f"  --ckpt_path FILE         {command.checkpoint_help}\n" if command.builds else "",
        allow="  --allow PACKAGE          lets class_path name classes of this package\n" if command.builds else "",
        options=options,
        settings=SETTINGS.format(base=base, examples=examples) if command.builds and command.takes_settings else "",
    )


def _heading(name: str, metavar: str) -> str:
    return f"--{name} {metavar}".rstrip()
