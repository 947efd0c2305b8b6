"""The program: its verbs and its error handling."""

from __future__ import annotations

import os
import re
import sys
import traceback

import click

from toril.cli.add import add
from toril.cli.completion import completion
from toril.cli.console import say
from toril.cli.demo import demo
from toril.cli.doctor import doctor
from toril.cli.exits import MEANINGS, Exit, code_of
from toril.cli.job import job
from toril.cli.options import DEBUG, debug_option
from toril.cli.queue import queue
from toril.cli.streams import prepare
from toril.cli.worker import worker
from toril.errors import TorilError


class _Program(click.Group):
    """The group of all verbs, with shell completion."""

    def complete(self) -> None:
        """If a shell asks for completions, print them and exit."""
        self._main_shell_completion({}, "toril")


@click.group(
    cls=_Program, context_settings={"help_option_names": ["-h", "--help"]}, epilog=MEANINGS
)
@click.version_option(package_name="toril", prog_name="toril")
@debug_option
def app() -> None:
    """Add, run, inspect and control background jobs.

    Run `toril demo` for a demonstration that takes half a minute.
    """


for verb in (demo, worker, add, queue, job, doctor, completion):
    app.add_command(verb)


def main() -> None:
    """Run the program. Every error becomes one sentence and an exit code."""
    prepare()
    app.complete()
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    context = None
    try:
        with app.make_context("toril", arguments) as context:
            app.invoke(context)
            sys.stdout.flush()
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("stopped")
        return Exit.INTERRUPTED
    except BrokenPipeError:  # the reader, such as `| head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # otherwise the final flush would fail
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return Exit.USAGE
    except Exception as error:  # noqa: BLE001 - users see a traceback only with --debug
        if context is not None and context.meta.get(DEBUG):
            say(traceback.format_exc().rstrip())
        say(f"toril: {_LOGIN.sub('://***@', _explanation(error))}")
        return code_of(error)
    return Exit.OK


# Other programs' errors, such as those about arguments, may quote a URL.
_LOGIN = re.compile(r"://[^\s'\"]*@")


def _explanation(error: Exception) -> str:
    """Return an error as one sentence."""
    match error:
        case TorilError():
            return str(error)
        case click.UsageError(ctx=click.Context() as context):
            return f"{error.format_message()} See: {context.command_path} --help"
        case click.ClickException():
            return error.format_message()
        case OSError(strerror=str(reason), filename=name):
            return reason if name is None else f"{os.fsdecode(name)}: {reason}"
        case _:
            return (
                f"{type(error).__name__}: {error}. This is a bug in Toril; please report it with "
                "the traceback that --debug shows"
            )
