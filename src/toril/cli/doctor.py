"""`toril doctor`: check the store for problems that would lose jobs or slow them down."""

from __future__ import annotations

import click

from toril.cli.console import print_json, print_table
from toril.cli.exits import Exit
from toril.cli.options import json_option, opened, runs, store_options


@click.command()
@json_option
@store_options
@runs
async def doctor(url: str | None, *, as_json: bool) -> None:
    """Check the store for problems.

    Finds problems that would lose jobs or slow them down. The exit code is 1 if jobs would be lost.
    """
    async with opened(url) as manager:
        findings = await manager.examine()
        location = manager.engine.location
    if as_json:
        print_json({"store": location, "findings": findings})
    else:
        print_table(
            ["!", "!check", location],
            ((_MARKS[f.level], f.check, f.message) for f in findings),
            empty="nothing was checked",
        )
    if any(f.level == "error" for f in findings):
        raise click.exceptions.Exit(Exit.FAILED)


_MARKS = {"ok": "ok", "warning": "WARN", "error": "ERROR"}
