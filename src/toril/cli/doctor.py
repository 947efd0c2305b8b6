"""`toril doctor`: check the store for problems that would lose jobs or slow them down."""

from __future__ import annotations

import click

from toril.application.production import refusals
from toril.cli.console import print_json, print_table, say
from toril.cli.exits import Exit
from toril.cli.options import json_option, opened, runs, store_options
from toril.config import Settings


@click.command()
@json_option
@store_options
@runs
async def doctor(url: str | None, *, as_json: bool) -> None:
    """Check the store for problems.

    Finds problems that would lose jobs or slow them down. The exit code is 1 if jobs would be lost,
    or if Toril would not start in production.
    """
    settings = Settings.from_environment()
    async with opened(url, refuse=False) as manager:
        findings = await manager.examine()
        location = manager.engine.location
        is_checked = settings.production and manager.engine.capabilities.may_evict
    refused = refusals(findings, settings) if is_checked else []
    if as_json:
        print_json({"store": location, "findings": findings})
    else:
        print_table(
            ["!", "!check", location],
            ((_MARKS[f.level], f.check, f.message) for f in findings),
            empty="nothing was checked",
        )
    for message in refused:
        say(f"with TORIL_ENV=production, Toril does not start: {message}")
    if refused or any(f.level == "error" for f in findings):
        raise click.exceptions.Exit(Exit.FAILED)


_MARKS = {"ok": "ok", "warning": "WARN", "error": "ERROR"}
