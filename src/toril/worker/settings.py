"""The settings of a worker."""

from __future__ import annotations

import os

import msgspec

from toril.errors import ConfigurationError, ValidationError
from toril.model.checks import check_integer
from toril.model.durations import Duration, to_ms

_NUMBERS = (("concurrency", 1), ("processes", 1), ("max_stalls", 0))  # each with its minimum
_LIMITS = ("max_jobs_per_process", "max_memory_per_process")
_TIMES = (
    ("lease", 1),
    ("grace", 0),
    ("cancel_grace", 0),
    ("handler_wait", 0),
    ("report_every", 0),
)  # minimum in ms


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a worker.

    Attributes:
        concurrency: How many jobs run at once.
        processes: How many process handlers run at once.
        max_jobs_per_process: How many jobs a process runs before a new one replaces it; None
            means no limit.
        max_memory_per_process: How much memory a process may use, in bytes, when a job ends,
            before a new one replaces it; None means no limit.
        lease: How long a job's lease lasts unless it is renewed, in seconds.
        grace: How long running jobs may continue after a stop signal, in seconds.
        cancel_grace: How long a handler may take after it was asked to stop, in seconds.
        handler_wait: How long a job waits for a worker that has a handler for its name, in seconds.
            Then it fails; 0 lets it fail at once.
        max_stalls: How often a job may stall before it counts as poison.
        report_every: How often to log statistics, in seconds; 0 means never.
    """

    concurrency: int = 10
    processes: int = max(1, os.cpu_count() or 1)
    max_jobs_per_process: int | None = None
    max_memory_per_process: int | None = None
    lease: Duration = 30
    grace: Duration = 30
    cancel_grace: Duration = 5
    handler_wait: Duration = 3600
    max_stalls: int = 3
    report_every: Duration = 10

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigurationError: A value is not valid.
        """
        try:
            for name, least in _NUMBERS:
                check_integer(getattr(self, name), name, least)
            for name in _LIMITS:
                if getattr(self, name) is not None:
                    check_integer(getattr(self, name), name, 1)
            for name, least in _TIMES:
                check_integer(to_ms(getattr(self, name), name), name, least)
        except ValidationError as error:
            raise ConfigurationError(str(error)) from None
