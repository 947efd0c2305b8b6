"""Checks that a store does not lose jobs before it is used in production."""

from __future__ import annotations

from collections.abc import Sequence

from toril.config import Settings
from toril.engine.contract.diagnosis import Finding
from toril.engine.contract.engine import Engine
from toril.errors import ConfigurationError
from toril.printable import logger

_logger = logger("toril.engine")

_VOLATILE = frozenset({"durability", "info"})  # without INFO, nobody knows whether jobs are kept
_ALLOW = "To start anyway, set TORIL_ALLOW_VOLATILE=1 or QueueManager(allow_volatile=True)"


def refusals(findings: Sequence[Finding], settings: Settings) -> list[str]:
    """Return why Toril would not start with a store in production.

    Args:
        findings: What an examination of the store found.
        settings: Say whether the store may lose jobs when its server ends.
    """
    found = [f.message for f in findings if f.check == "eviction" and f.level == "error"]
    if not settings.allow_volatile:
        volatile = [f for f in findings if f.check in _VOLATILE and f.level != "ok"]
        found += [f"{f.message}. {_ALLOW}" for f in volatile]
    return found


async def refuse_what_loses_jobs(engine: Engine, settings: Settings) -> None:
    """Refuse a store that discards accepted jobs, or forgets them when its server ends.

    Args:
        engine: The engine of the store.
        settings: Say whether the store may forget jobs.

    Raises:
        ConfigurationError: The store may lose jobs; the message names the setting.
    """
    for message in refusals(await _examine(engine), settings):
        raise ConfigurationError(
            f"{engine.location}: {message}. With TORIL_ENV=production, Toril does not start"
        )


async def warn_of_what_loses_jobs(engine: Engine) -> None:
    """Log a warning if a store may lose accepted jobs.

    Args:
        engine: The engine of the store.
    """
    for finding in await _examine(engine):
        if finding.check == "eviction" and finding.level == "error":
            _logger.warning(
                "%s: %s. With TORIL_ENV=production, Toril would not start",
                engine.location,
                finding.message,
            )
        elif finding.check == "bullmq":
            _logger.warning("%s: %s", engine.location, finding.message)


async def _examine(engine: Engine) -> list[Finding]:
    return await engine.examine() if engine.capabilities.may_evict else []
