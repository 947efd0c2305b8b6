"""Finding the primary: a server with a fixed address, or one that Sentinels know.

Each new connection asks the Sentinels again; only the Sentinel that answered last is remembered.
A primary that was replaced may still run and accept writes, which are lost when it learns of its
replacement. So a Sentinel is asked once a second whether the primary is still the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import hiredis

from toril.engine.redis.connection.endpoint import Endpoint
from toril.engine.redis.connection.target import SentinelGroup
from toril.engine.redis.connection.wire import Wire
from toril.errors import ConfigurationError, EngineError, StoreUnavailableError, did_you_mean

_CHECK_SECONDS = 1.0
_LOGIN_HINT = "the Sentinels' login goes into the URL as ?sentinel_user=…&sentinel_password=…"


class _UnknownServiceError(EngineError):
    """A Sentinel does not know the service name."""


class Locator(Protocol):
    """Finds a primary.

    Attributes:
        location: The URL without a password.
        timeout: How long one call may take, in seconds.
        follows: Whether another server can replace the primary.
    """

    @property
    def location(self) -> str: ...

    @property
    def timeout(self) -> float: ...

    @property
    def follows(self) -> bool: ...

    async def open(self, name: str, timeout: float | None) -> Wire:
        """Open a connection to the primary.

        Args:
            name: The connection's name.
            timeout: How long a reply may take, in seconds; None means no limit.

        Raises:
            EngineError: The primary cannot be found or reached.
        """
        ...

    async def until_replaced(self, address: str) -> None:
        """Return once another server is the primary, even if the old one does not know yet.

        Args:
            address: The current primary's address.
        """
        ...


class OneServer:
    """A server with a fixed address."""

    follows = False

    def __init__(self, endpoint: Endpoint) -> None:
        """Prepare.

        Args:
            endpoint: The server.
        """
        self._endpoint = endpoint
        self.location = endpoint.location
        self.timeout = endpoint.timeout

    async def open(self, name: str, timeout: float | None) -> Wire:
        return await Wire.open(self._endpoint, name=name, timeout=timeout)

    async def until_replaced(self, address: str) -> None:  # noqa: ARG002
        await asyncio.get_running_loop().create_future()


class WatchedPrimary:
    """The primary of a group that Sentinels watch.

    Source: Redis documentation, "Guidelines for Redis clients with support for Sentinel": ask
    the Sentinels in turn, move the one that answered to the front, and check that the server
    itself reports the role "master".
    """

    follows = True

    def __init__(self, group: SentinelGroup) -> None:
        """Prepare.

        Args:
            group: The Sentinels, and the primary's service name.
        """
        self._group = group
        self._sentinels = list(group.sentinels)
        self.location = group.location
        self.timeout = group.primary.timeout

    async def open(self, name: str, timeout: float | None) -> Wire:
        errors: list[EngineError] = []
        tried: set[Endpoint] = set()
        for sentinel in list(self._sentinels):
            try:
                primary = await self._ask(sentinel)
                if primary not in tried:  # Sentinels may disagree during a failover
                    tried.add(primary)
                    return await self._enter(primary, name, timeout)
            except EngineError as error:
                errors.append(error)
        if all(isinstance(error, _UnknownServiceError) for error in errors):
            raise ConfigurationError(f"{self.location}: {errors[0]}")
        reasons = "; ".join(map(str, errors))
        raise StoreUnavailableError(f"{self.location}: no primary was found: {reasons}")

    async def until_replaced(self, address: str) -> None:
        while True:
            sentinel = self._sentinels[0]
            with suppress(EngineError):  # the next one may answer
                wire = await self._connect(sentinel)
                try:
                    while True:
                        if (await self._named_by(wire)).address != address:
                            return
                        await asyncio.sleep(_CHECK_SECONDS)
                finally:
                    await wire.close()
            self._move(sentinel, last=True)
            await asyncio.sleep(_CHECK_SECONDS)

    async def _ask(self, sentinel: Endpoint) -> Endpoint:
        """Return the primary that a Sentinel names."""
        wire = await self._connect(sentinel)
        try:
            primary = await self._named_by(wire)
        finally:
            await wire.close()
        self._move(sentinel)
        return primary

    def _move(self, sentinel: Endpoint, *, last: bool = False) -> None:
        """Move a Sentinel to the front of the order in which they are asked, or to the end."""
        self._sentinels.remove(sentinel)
        self._sentinels.insert(len(self._sentinels) if last else 0, sentinel)

    async def _connect(self, sentinel: Endpoint) -> Wire:
        try:
            return await Wire.open(sentinel, timeout=sentinel.timeout)
        except EngineError as error:
            if isinstance(error.__cause__, hiredis.ReplyError):
                raise StoreUnavailableError(f"{error} ({_LOGIN_HINT})") from error
            raise

    async def _named_by(self, sentinel: Wire) -> Endpoint:
        service = self._group.service
        found = await sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
        if found is None:
            known = _names(await sentinel.call("SENTINEL", "MASTERS"))
            hint = did_you_mean(service, known)
            message = f"the Sentinel {sentinel.address} does not watch {service!r}; {hint}"
            raise _UnknownServiceError(message)
        return self._group.primary.at(found[0], int(found[1]))

    async def _enter(self, primary: Endpoint, name: str, timeout: float | None) -> Wire:
        """Connect to what should be the primary, and check its role."""
        wire = await Wire.open(primary, name=name, timeout=primary.timeout)
        try:
            role = (await wire.call("ROLE"))[0]
        except BaseException:
            await wire.close()
            raise
        if role != "master":
            await wire.close()
            message = f"{primary.address} should be the primary, but its role is {role!r}"
            raise StoreUnavailableError(message)
        wire.timeout = timeout
        return wire


def _names(answer: Sequence[Sequence[str]]) -> list[str]:
    """Return the names in an answer to SENTINEL MASTERS: a flat list of fields per primary."""
    return [fields[fields.index("name") + 1] for fields in answer]
