"""Where jobs live, from a URL: one server, a primary watched by Sentinels, or a cluster."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote

import msgspec

from toril.engine.redis.connection import endpoint
from toril.engine.redis.connection.endpoint import Endpoint
from toril.errors import ENCODE_LOGIN, ConfigurationError

_SENTINEL_PORT = 26_379
_CLUSTER_PORT = 6379
_SENTINEL_LOGIN = ("sentinel_user", "sentinel_password")


class SentinelGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A primary and its replicas, watched by Sentinels.

    Attributes:
        sentinels: The Sentinels, and how to log in to them.
        service: The name by which they know the primary.
        primary: How to log in to the primary; the Sentinels report its host and port.
    """

    sentinels: tuple[Endpoint, ...]
    service: str
    primary: Endpoint

    def __repr__(self) -> str:
        return f"<SentinelGroup {self.location}>"

    @property
    def location(self) -> str:
        """The URL without the passwords."""
        start = _start("sentinel", self.primary, self.sentinels)
        return f"{start}/{self.service}/{self.primary.database}"


class ClusterNodes(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster.

    Attributes:
        nodes: The nodes that the URL names, and how to log in to them.
    """

    nodes: tuple[Endpoint, ...]

    def __repr__(self) -> str:
        return f"<ClusterNodes {self.location}>"

    @property
    def location(self) -> str:
        """The URL without the password."""
        return _start("cluster", self.nodes[0], self.nodes)


Target = Endpoint | SentinelGroup | ClusterNodes


def _start(kind: str, login: Endpoint, hosts: tuple[Endpoint, ...]) -> str:
    user = f"{login.user}@" if login.user else ""
    addresses = ",".join(host.address for host in hosts)
    return f"redis{'s' if login.tls else ''}+{kind}://{user}{addresses}"


def parse(url: str) -> Target:
    """Return the target that a URL names.

    Args:
        url: One that `endpoint.parse` accepts, or with several hosts
            "redis+sentinel://[user:password@]host:port,host:port/service[/database]" or
            "redis+cluster://[user:password@]host:port,host:port", each with rediss for TLS.
            The parameters `sentinel_user` and `sentinel_password` are the Sentinels' login.

    Raises:
        ConfigurationError: The URL is not valid.
    """
    parts = endpoint.split(url)
    if parts.scheme.endswith("+sentinel"):
        return _sentinel_group(parts)
    if parts.scheme.endswith("+cluster"):
        return _cluster(parts)
    return endpoint.parse(url)


def _sentinel_group(parts: SplitResult) -> SentinelGroup:
    service, _, number = unquote(parts.path).strip("/").partition("/")
    if not service:
        raise ConfigurationError(
            "the URL has no service name; after the addresses, write the name by which the "
            "Sentinels know the primary: redis+sentinel://host:26379,host:26379/mymaster"
        )
    if "@" in parts.path:
        raise ConfigurationError(f"the URL's service name must not contain @; {ENCODE_LOGIN}")
    given = endpoint.parameters(_query(parts), also=_SENTINEL_LOGIN)
    user, password = (given.pop(name, None) for name in _SENTINEL_LOGIN)
    way_in = Endpoint(tls=_tls(parts), **given)
    return SentinelGroup(
        sentinels=_hosts(
            parts, _SENTINEL_PORT, msgspec.structs.replace(way_in, user=user, password=password)
        ),
        service=service,
        primary=msgspec.structs.replace(
            way_in, database=endpoint.database(number), **endpoint.login(parts)
        ),
    )


def _cluster(parts: SplitResult) -> ClusterNodes:
    number = endpoint.database(parts.path.strip("/"))
    if number != 0:
        raise ConfigurationError(
            "the URL names a database, but a cluster has only database 0: leave it out"
        )
    given = endpoint.parameters(_query(parts))
    way_in = Endpoint(tls=_tls(parts), **endpoint.login(parts), **given)
    return ClusterNodes(nodes=_hosts(parts, _CLUSTER_PORT, way_in))


def _hosts(parts: SplitResult, port: int, way_in: Endpoint) -> tuple[Endpoint, ...]:
    named = parts.netloc.rpartition("@")[2].split(",")
    return tuple(way_in.at(*endpoint.host_and_port(one.strip(), port)) for one in named)


def _query(parts: SplitResult) -> dict[str, Any]:
    return dict(parse_qsl(parts.query, keep_blank_values=True))


def _tls(parts: SplitResult) -> bool:
    return parts.scheme.startswith("rediss+")
