"""From argv to a command that runs; bad input ends it with one line and exit code 2, before any work."""

import os
import sys
from importlib.metadata import version
from typing import NoReturn

from mot_lightning.cli.arguments import find_command, parse
from mot_lightning.cli.help import command_page, usage
from mot_lightning.errors import ConfigError, NotWritten, escaped
from mot_lightning.signals import end_process, handled


def fail(message: str, code: int = 2) -> NoReturn:
    print(f"error: {escaped(' '.join(str(message).split()))}", file=sys.stderr)
    raise SystemExit(code)


def main(argv: list[str] | None = None) -> None:
    """Run a command line."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        with handled(end_process):  # until a command has its own handlers
            _run(argv)
        sys.stdout.flush()  # here, where a closed pipe is not yet an error of Python's shutdown
    except ConfigError as error:
        fail(str(error))
    except NotWritten as error:
        fail(str(error), 1)
    except PermissionError as error:
        fail(f"{error.filename or 'a file'} cannot be used: {error.strerror}")
    except BrokenPipeError:  # the reader of the output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def _run(argv: list[str]) -> None:
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return
    if argv[0] == "--version":
        print(f"mot_lightning {version('mot_lightning')}")
        return
    if argv[0].startswith("--print_completion"):
        from mot_lightning.cli.completion import completion

        print(completion(argv[0].partition("=")[2] or [*argv[1:], "bash"][0]))
        return
    command = find_command(argv[0])
    if {"-h", "--help"} & {*argv[1:]}:
        print(command_page(command))
        return
    if "--help-all" in argv[1:]:
        from mot_lightning.cli.settings_help import print_every_setting

        print_every_setting()
        return
    invocation = parse(command, argv[1:])
    for name, text in invocation.settings:
        if name.endswith(".help"):
            from mot_lightning.cli.settings_help import print_settings

            print_settings(name.removesuffix(".help"), text, invocation.allow)
            return
    command.run(invocation)
