"""The program: its verbs, and what becomes of errors."""

from __future__ import annotations

import os
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
from toril.cli.worker import worker
from toril.errors import TorilError


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=MEANINGS)
@click.version_option(package_name="toril", prog_name="toril")
@debug_option
def app() -> None:
    """Background jobs: add them, work them, look at them.

    `toril demo` shows what it does, in half a minute.
    """


for verb in (demo, worker, add, queue, job, doctor, completion):
    app.add_command(verb)


def main() -> None:
    """Run the program: every error is one sentence and an exit code."""
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not have every character
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    context = None
    try:
        with app.make_context("toril", arguments) as context:
            app.invoke(context)
            sys.stdout.flush()
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return Exit.USAGE
    except click.ClickException as error:
        say(f"toril: {_sentence(error)}")
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        say("stopped")
        return Exit.INTERRUPTED
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the last flush would complain
        return Exit.OK
    except Exception as error:  # noqa: BLE001 - nobody is to read a traceback unasked
        if context is not None and context.meta.get(DEBUG):
            traceback.print_exc()
        say(f"toril: {_explanation(error)}")
        return code_of(error)
    return Exit.OK


def _sentence(error: click.ClickException) -> str:
    """Return a mistake on the command line with where to read on."""
    text = error.format_message()
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{text} See: {error.ctx.command_path} --help"
    return text


def _explanation(error: Exception) -> str:
    if isinstance(error, TorilError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return f"{place}{error.strerror}"
    return (
        f"{type(error).__name__}: {error}. That is a bug in Toril; --debug shows the traceback, "
        "please report it"
    )
