"""Finding the master: a server that has one address, or one that Sentinels know.

Nothing is cached but which Sentinel answered last: whoever opens a connection asks anew. A
master that another has replaced may live, and take writes that end with it once it hears of
that; so a Sentinel is asked once a second whether the master is still the one.
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

_LOOK_SECONDS = 1.0
_LOGIN_HINT = "the Sentinels' own login is ?sentinel_user=…&sentinel_password=… in the URL"


class _UnknownServiceError(EngineError):
    """A Sentinel does not know the master's name."""


class Locator(Protocol):
    """Finds a master.

    Attributes:
        location: Where it looks, fit to be shown.
        timeout: How long one call may take, in seconds.
        follows: Whether another server can take the master's place.
    """

    @property
    def location(self) -> str: ...

    @property
    def timeout(self) -> float: ...

    @property
    def follows(self) -> bool: ...

    async def open(self, name: str, timeout: float | None) -> Wire:
        """Open a connection to the master.

        Args:
            name: The connection's name.
            timeout: How long a reply may take, in seconds; None is without end.

        Raises:
            EngineError: It cannot be found or reached.
        """
        ...

    async def until_replaced(self, address: str) -> None:
        """Return once another server is the master, though the one at an address may not know."""
        ...


class OneServer:
    """A server that has one address."""

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


class WatchedMaster:
    """The master of a group that Sentinels watch.

    Source: Redis documentation, "Guidelines for Redis clients with support for Sentinel": ask
    the Sentinels in turn, put first the one that answered, and let the server say itself that
    it is a master.
    """

    follows = True

    def __init__(self, group: SentinelGroup) -> None:
        """Prepare.

        Args:
            group: The Sentinels, and the master's name.
        """
        self._group = group
        self._sentinels = list(group.sentinels)
        self.location = group.location
        self.timeout = group.master.timeout

    async def open(self, name: str, timeout: float | None) -> Wire:
        errors: list[EngineError] = []
        tried: set[Endpoint] = set()
        for sentinel in list(self._sentinels):
            try:
                master = await self._ask(sentinel)
                if master not in tried:  # Sentinels may disagree while they elect one
                    tried.add(master)
                    return await self._enter(master, name, timeout)
            except EngineError as error:
                errors.append(error)
        if all(isinstance(error, _UnknownServiceError) for error in errors):
            raise ConfigurationError(f"{self.location}: {errors[0]}")
        reasons = "; ".join(map(str, errors))
        raise StoreUnavailableError(f"{self.location}: no master was found: {reasons}")

    async def until_replaced(self, address: str) -> None:
        while True:
            sentinel = self._sentinels[0]
            with suppress(EngineError):  # the next one may answer
                wire = await self._connect(sentinel)
                try:
                    while True:
                        if (await self._named_by(wire)).address != address:
                            return
                        await asyncio.sleep(_LOOK_SECONDS)
                finally:
                    await wire.close()
            self._put(sentinel, last=True)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _ask(self, sentinel: Endpoint) -> Endpoint:
        """Return the master that a Sentinel names."""
        wire = await self._connect(sentinel)
        try:
            master = await self._named_by(wire)
        finally:
            await wire.close()
        self._put(sentinel)
        return master

    def _put(self, sentinel: Endpoint, *, last: bool = False) -> None:
        """Ask a Sentinel first from now on, or last."""
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
            message = f"the Sentinel {sentinel.address} watches no {service!r}; {hint}"
            raise _UnknownServiceError(message)
        return self._group.master.at(found[0], int(found[1]))

    async def _enter(self, master: Endpoint, name: str, timeout: float | None) -> Wire:
        """Connect to what should be the master, and let it say that it is."""
        wire = await Wire.open(master, name=name, timeout=master.timeout)
        try:
            role = (await wire.call("ROLE"))[0]
        except BaseException:
            await wire.close()
            raise
        if role != "master":
            await wire.close()
            message = f"{master.address} should be the master, and says that it is a {role}"
            raise StoreUnavailableError(message)
        wire.timeout = timeout
        return wire


def _names(masters: Sequence[Sequence[str]]) -> list[str]:
    """Return the names of masters, of each of which a Sentinel tells fields and values in turn."""
    return [fields[fields.index("name") + 1] for fields in masters]
