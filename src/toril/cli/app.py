"""The program: its verbs, and what becomes of errors."""

from __future__ import annotations

import sys

import click

from toril.cli.add import add
from toril.cli.completion import completion
from toril.cli.console import say
from toril.cli.demo import demo
from toril.cli.doctor import doctor
from toril.cli.exits import Exit, code_of
from toril.cli.job import job
from toril.cli.options import DEBUG, debug_option
from toril.cli.queue import queue
from toril.cli.worker import worker
from toril.errors import TorilError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="toril", prog_name="toril")
@debug_option
def app() -> None:
    """Background jobs: add them, work them, look at them.

    `toril demo` shows what it does, in half a minute.
    """


for verb in (demo, worker, add, queue, job, doctor, completion):
    app.add_command(verb)


def main() -> None:
    """Run the program: every foreseen error is one sentence and an exit code."""
    context = None
    try:
        with app.make_context("toril", sys.argv[1:]) as context:
            app.invoke(context)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(Exit.USAGE)
    except (click.Abort, KeyboardInterrupt):
        say("stopped")
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:  # `| head` has read enough
        sys.stderr.close()
        sys.exit(Exit.OK)
    except TorilError as error:
        if context is not None and context.meta.get(DEBUG):
            raise
        say(f"toril: {error}")
        sys.exit(code_of(error))
