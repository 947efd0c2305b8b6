"""The delay before a retry: the job's backoff, or a custom strategy registered by name."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from toril.model.durations import to_capped_ms
from toril.model.job import AttemptError
from toril.model.job_options import JobOptions
from toril.model.tracebacks import traceback_of
from toril.printable import logger

_logger = logger("toril.worker")

BackoffStrategy = Callable[[int, AttemptError], float]
"""Returns the delay in seconds for a number of failed attempts and the last error."""

_DEFAULT_DELAY_MS = 1000


class RetryDelays:
    """Computes the delay before a retry."""

    def __init__(self, strategies: Mapping[str, BackoffStrategy]) -> None:
        """Create the delay computation.

        Args:
            strategies: Custom backoff strategies by name.
        """
        self._strategies = strategies

    def __call__(self, options: JobOptions, made: int, error: AttemptError) -> int:
        """Return the delay in milliseconds.

        Args:
            options: The job's options.
            made: How many attempts have failed, at least 1.
            error: The last attempt's error.
        """
        backoff = options.backoff
        if backoff is None:
            return 0
        if not backoff.is_custom:
            return backoff.delay_for(made, random.random())  # noqa: S311 - not a secret
        strategy = self._strategies.get(backoff.kind)
        if strategy is None:
            delay = backoff.delay_ms or _DEFAULT_DELAY_MS
            _logger.error(
                "this worker has no backoff strategy %r; register it with "
                "manager.register_backoff. Waiting %d ms",
                backoff.kind,
                delay,
            )
            return delay
        try:
            return to_capped_ms(strategy(made, error), "backoff")
        except BaseException as failure:  # noqa: BLE001 - whatever it raises, the job is settled
            _logger.error(  # noqa: TRY400 - the error may raise when logging looks at it
                "the backoff strategy %r failed; waiting 1 s\n%s",
                backoff.kind,
                traceback_of(failure),
            )
            return _DEFAULT_DELAY_MS
