"""How a worker works."""

from __future__ import annotations

import os

import msgspec

from toril.errors import ConfigurationError, ValidationError
from toril.model.checks import check_integer
from toril.model.durations import Duration, to_ms

_TIMES = (("lease", 1), ("grace", 0), ("cancel_grace", 0), ("report_every", 0))  # ms at least


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker works.

    Attributes:
        concurrency: How many jobs run at once.
        processes: How many process handlers run at once.
        lease: How long a job is held without renewal, in seconds.
        grace: How long running jobs may go on after a signal, in seconds.
        cancel_grace: How long a handler that was told to end may take, in seconds.
        max_stalls: How often a job may lose its worker before it is poison.
        report_every: Seconds between two lines that say what was done; 0 is never.
    """

    concurrency: int = 10
    processes: int = max(1, os.cpu_count() or 1)
    lease: Duration = 30
    grace: Duration = 30
    cancel_grace: Duration = 5
    max_stalls: int = 3
    report_every: Duration = 10

    def __post_init__(self) -> None:
        """Refuse what no worker could work with."""
        try:
            for name, least in (("concurrency", 1), ("processes", 1), ("max_stalls", 0)):
                check_integer(getattr(self, name), name, least)
            for name, least in _TIMES:
                check_integer(to_ms(getattr(self, name), name), name, least)
        except ValidationError as error:
            raise ConfigurationError(str(error)) from None
