"""Checks that a store does not lose jobs before it is used in production."""

from __future__ import annotations

from toril.engine.contract.engine import Engine
from toril.errors import ConfigurationError
from toril.printable import logger

_logger = logger("toril.engine")

_LOSES_JOBS = {"eviction"}


async def refuse_what_loses_jobs(engine: Engine) -> None:
    """Refuse a store that is configured to discard accepted jobs.

    Args:
        engine: The engine of the store.

    Raises:
        ConfigurationError: The store may discard jobs; the message names the setting.
    """
    for message in await _losses(engine):
        raise ConfigurationError(f"{message}. With TORIL_ENV=production, Toril does not start")


async def warn_of_what_loses_jobs(engine: Engine) -> None:
    """Log a warning if a store is configured to discard accepted jobs.

    Args:
        engine: The engine of the store.
    """
    for message in await _losses(engine):
        _logger.warning("%s. With TORIL_ENV=production, Toril would not start", message)


async def _losses(engine: Engine) -> list[str]:
    if not engine.capabilities.may_evict:
        return []
    return [
        f"{engine.location}: {finding.message}"
        for finding in await engine.examine()
        if finding.level == "error" and finding.check in _LOSES_JOBS
    ]
