"""URLs of Redis servers: what they name, and what is wrong with them."""

from __future__ import annotations

import pytest

from toril.application.stores import open_engine
from toril.engine.redis.connection import target
from toril.engine.redis.connection.endpoint import Endpoint, parse
from toril.engine.redis.connection.target import ClusterNodes, SentinelGroup
from toril.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("redis://", Endpoint()),
        ("redis://host", Endpoint(host="host")),
        ("redis://host:7000/3", Endpoint(host="host", port=7000, database=3)),
        ("redis://:p%40ss@host", Endpoint(host="host", password="p@ss")),
        ("redis://ada:p@host/", Endpoint(host="host", user="ada", password="p")),
        ("redis://[::1]:7000", Endpoint(host="::1", port=7000)),
        ("rediss://host?ca=/ca.pem", Endpoint(host="host", tls=True, ca="/ca.pem")),
        ("unix:///run/redis.sock?db=2", Endpoint(path="/run/redis.sock", database=2)),
        ("redis://h?timeout=5", Endpoint(host="h", timeout=5.0)),
        ("redis://h?connect_timeout=0.2", Endpoint(host="h", connect_timeout=0.2)),
    ],
)
def test_a_url_names_a_server(url: str, wanted: Endpoint) -> None:
    assert parse(url) == wanted


def test_a_url_names_sentinels_and_the_primary_that_they_watch() -> None:
    place = target.parse(
        "rediss+sentinel://ada:p%40ss@one:7000,two/jobs/3"
        "?sentinel_user=eve&sentinel_password=s&ca=/ca.pem&timeout=5"
    )
    both = {"tls": True, "ca": "/ca.pem", "timeout": 5.0}
    assert place == SentinelGroup(
        sentinels=(
            Endpoint(host="one", port=7000, user="eve", password="s", **both),
            Endpoint(host="two", port=26_379, user="eve", password="s", **both),
        ),
        service="jobs",
        primary=Endpoint(database=3, user="ada", password="p@ss", **both),
    )


@pytest.mark.parametrize("end", ["", "/", "/0"])
def test_a_url_names_nodes_of_a_cluster(end: str) -> None:
    nodes = tuple(
        Endpoint(host=host, port=port, user="ada", password="p", timeout=5.0)
        for host, port in (("::1", 7001), ("two", 7000), ("three", 6379))
    )
    url = f"redis+cluster://ada:p@[::1]:7001,two:7000,three{end}?timeout=5"
    assert target.parse(url) == ClusterNodes(nodes=nodes)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://host/one", "must be a database number: write"),
        ("redis://host:99999", "port"),
        ("redis://host:port", "port"),
        ("redis://host?tiemout=3", "did you mean 'timeout'"),
        (
            "redis://host?timeout=soon",
            "timeout in the URL must be a number of seconds > 0",
        ),
        ("redis://host?timeout=-1", "must be a number of seconds > 0"),
        ("redis://host?timeout=inf", "must be a number of seconds > 0"),
        ("unix://", "has no socket path"),
        ("redis+sentinel://host:26379", "has no service name; .* write .*26379/mymaster"),
        ("redis+sentinel://host/jobs/one", "must be a database number: write"),
        ("redis+sentinel://host/jobs?sentinel_pasword=x", "did you mean 'sentinel_password'"),
        ("redis+sentinel://one,two:99999/jobs", "port"),
        ("redis+cluster://host:7000/1", "a cluster has only database 0"),
        ("redis+cluster://host?sentinel_user=x", "unknown parameter in the URL; known"),
        ("redis+claster://host", r"redis\+sentinel://.* or redis\+cluster://"),
    ],
)
def test_what_is_wrong_with_a_url_is_named(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_engine(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@host:7000/1", "redis://host:7000/1"),
        ("rediss://ada:secret@host", "rediss://ada@host:6379/0"),
        ("redis://[::1]", "redis://[::1]:6379/0"),
        ("unix://:secret@/run/redis.sock", "unix:///run/redis.sock?db=0"),
        (
            "rediss+sentinel://ada:secret@one,two:7/jobs?sentinel_password=secret",
            "rediss+sentinel://ada@one:26379,two:7/jobs/0",
        ),
        ("redis+cluster://:secret@one,two:7", "redis+cluster://one:6379,two:7"),
    ],
)
def test_a_location_is_shown_without_its_password(url: str, shown: str) -> None:
    assert open_engine(url).location == shown


@pytest.mark.parametrize(
    "url",
    [
        "rodis://ada:secret@host/",
        "redis+claster://:se/cr@et@one:1,two:2?sentinel_password=secret",
        "redis://ada:secret@[::1",
        "unix://:secret@",
    ],
)
def test_a_mistake_in_a_url_does_not_give_away_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_engine(url)
    assert "secret" not in str(caught.value)
    assert "cr@et" not in str(caught.value)


def test_a_certificate_that_cannot_be_read_is_named() -> None:
    endpoint = parse("rediss://host?ca=/nowhere.pem")
    with pytest.raises(ConfigurationError, match="cannot read a certificate"):
        endpoint.tls_context()
