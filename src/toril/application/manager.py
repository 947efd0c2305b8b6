"""The manager: queues, workers and control of one store in one object."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

from toril.application.registration import PayloadArgs
from toril.application.sync import SyncQueueManager
from toril.application.workers import Workers
from toril.config import Settings
from toril.engine.contract.engine import Engine


class QueueManager(Workers):
    """Queues, workers and control of one store.

    Use it as `async with manager:`, which closes it at the end. It may be made at import
    time: nothing connects before the first call.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        prefix: str | None = None,
        settings: Settings | None = None,
        engine: Engine | None = None,
        payload_store: str | Path | None = None,
        payload_threshold: int | None = None,
        payload_max_bytes: int | None = None,
    ) -> None:
        """Make a manager.

        Args:
            url: Where jobs live, see `open_engine`; the settings' unless given.
            prefix: The bounded context that queues belong to unless they name another.
            settings: Instead of those of the environment.
            engine: Instead of one that the URL names.
            payload_store: Where large payloads are kept: a folder as a path or a file URL, or any
                URL of fsspec's; the settings' unless given, and with their jobs without any.
            payload_threshold: The largest payload that stays with its job all the same, in bytes.
            payload_max_bytes: The largest payload that goes there.

        Raises:
            ConfigurationError: The URL or a setting is wrong, or a package is missing.
        """
        payloads = PayloadArgs(payload_store, payload_threshold, payload_max_bytes)
        super().__init__(url, prefix=prefix, settings=settings, engine=engine, payloads=payloads)
        self._running = {}
        self._sync: SyncQueueManager | None = None

    def __repr__(self) -> str:
        return f"<QueueManager {self.engine.location}>"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.shutdown()

    async def shutdown(self) -> None:
        """Stop the workers that `start_workers` started, and close the store."""
        try:
            await super().shutdown()
        finally:
            if self._sync is not None and not self._sync.is_this_thread:
                await asyncio.to_thread(self._sync.end_thread)

    @property
    def sync(self) -> SyncQueueManager:
        """The same, for code without an event loop."""
        if self._sync is None:
            self._sync = SyncQueueManager(self)
        return self._sync
