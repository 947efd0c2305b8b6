"""Finding the master: a server that has one address, or one that Sentinels know.

Nothing is cached but which Sentinel answered last: whoever opens a connection asks anew, so
that a master that has changed is found by all that lost their connections to the old one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import hiredis

from toril.engine.redis.endpoint import Endpoint
from toril.engine.redis.places import SentinelGroup
from toril.engine.redis.wire import Wire
from toril.errors import ConfigurationError, EngineError, StoreUnavailableError, did_you_mean

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

    async def _ask(self, sentinel: Endpoint) -> Endpoint:
        """Return the master that a Sentinel names."""
        try:
            wire = await Wire.open(sentinel, timeout=sentinel.timeout)
        except EngineError as error:
            if isinstance(error.__cause__, hiredis.ReplyError):
                raise StoreUnavailableError(f"{error} ({_LOGIN_HINT})") from error
            raise
        try:
            service = self._group.service
            found = await wire.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
            if found is None:
                known = _names(await wire.call("SENTINEL", "MASTERS"))
                hint = did_you_mean(service, known)
                message = f"the Sentinel {sentinel.address} watches no {service!r}; {hint}"
                raise _UnknownServiceError(message)
        finally:
            await wire.close()
        self._sentinels.remove(sentinel)
        self._sentinels.insert(0, sentinel)
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
