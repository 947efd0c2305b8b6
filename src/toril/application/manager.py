"""The manager: queues, workers and control of one store in one object."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from toril.application.registration import PayloadArgs
from toril.application.sync import SyncQueueManager
from toril.application.workers import Forgetting, Workers
from toril.blocking import in_thread
from toril.config import Settings
from toril.engine.contract.engine import Engine


class QueueManager(Workers):
    """Queues, workers and control of one store.

    Use it with `async with manager:`, which closes it at the end. It can be created at import
    time, because it does not connect before the first call.
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
        allow_volatile: bool | None = None,
    ) -> None:
        """Create a manager.

        Args:
            url: The store's URL, see `open_engine`; defaults to the settings.
            prefix: The prefix of queues that do not name one; defaults to the settings.
            settings: The settings; defaults to the environment.
            engine: An engine to use instead of the one that the URL names.
            payload_store: The payload store: a folder as a path or a file URL, or any URL that
                fsspec supports; defaults to the settings. Without one, payloads stay with jobs.
            payload_threshold: The largest payload that stays with its job, in bytes; defaults to
                the settings.
            payload_max_bytes: The largest payload that the payload store accepts, in bytes;
                defaults to the settings.
            allow_volatile: In production, accept a Redis server without an append-only file, which
                forgets jobs when it ends; defaults to the settings.

        Raises:
            ConfigurationError: The URL or a setting is not valid, or a package is missing.
        """
        settings = settings or Settings.from_environment()
        if allow_volatile is not None:
            settings = replace(settings, allow_volatile=allow_volatile)
        payloads = PayloadArgs(payload_store, payload_threshold, payload_max_bytes)
        super().__init__(url, prefix=prefix, settings=settings, engine=engine, payloads=payloads)
        self._running = {}
        self._forgetting = Forgetting(self._running)
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
                await in_thread(self._sync.end_thread)

    @property
    def sync(self) -> SyncQueueManager:
        """The same manager for code without an event loop."""
        if self._sync is None:
            self._sync = SyncQueueManager(self)
        return self._sync
