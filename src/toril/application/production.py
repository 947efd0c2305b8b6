"""What must be right before jobs are entrusted to a store in production."""

from __future__ import annotations

import logging

from toril.engine.contract.engine import Engine
from toril.errors import ConfigurationError

_logger = logging.getLogger("toril.engine")

_LOSES_JOBS = {"eviction"}


async def refuse_what_loses_jobs(engine: Engine) -> None:
    """Refuse a store that is set to throw accepted jobs away.

    Args:
        engine: The store.

    Raises:
        ConfigurationError: It is; the message names the setting.
    """
    for message in await _losses(engine):
        raise ConfigurationError(f"{message}. TORIL_ENV is production, so Toril does not start")


async def warn_of_what_loses_jobs(engine: Engine) -> None:
    """Say in the log that a store is set to throw accepted jobs away.

    Args:
        engine: The store.
    """
    for message in await _losses(engine):
        _logger.warning("%s. With TORIL_ENV=production Toril would not start", message)


async def _losses(engine: Engine) -> list[str]:
    if not engine.capabilities.may_evict:
        return []
    return [
        f"{engine.location}: {finding.message}"
        for finding in await engine.examine()
        if finding.level == "error" and finding.check in _LOSES_JOBS
    ]
