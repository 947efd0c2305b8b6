"""Checks that a store does not lose jobs before it is used in production."""

from __future__ import annotations

import logging

from toril.engine.contract.diagnosis import Finding
from toril.engine.contract.engine import Engine
from toril.errors import ConfigurationError

_logger = logging.getLogger("toril.engine")


async def refuse_what_loses_jobs(engine: Engine) -> None:
    """Refuse a store that is configured to discard accepted jobs.

    Args:
        engine: The engine of the store.

    Raises:
        ConfigurationError: The store may discard jobs; the message names the setting.
    """
    for finding in await _examine(engine):
        if _loses_jobs(finding):
            raise ConfigurationError(
                f"{engine.location}: {finding.message}. "
                "With TORIL_ENV=production, Toril does not start"
            )


async def warn_of_what_loses_jobs(engine: Engine) -> None:
    """Log a warning if a store may lose accepted jobs.

    Args:
        engine: The engine of the store.
    """
    for finding in await _examine(engine):
        if _loses_jobs(finding):
            _logger.warning(
                "%s: %s. With TORIL_ENV=production, Toril would not start",
                engine.location,
                finding.message,
            )
        elif finding.check == "bullmq":
            _logger.warning("%s: %s", engine.location, finding.message)


def _loses_jobs(finding: Finding) -> bool:
    return finding.level == "error" and finding.check == "eviction"


async def _examine(engine: Engine) -> list[Finding]:
    return await engine.examine() if engine.capabilities.may_evict else []
