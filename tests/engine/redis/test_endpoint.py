"""URLs of Redis servers: what they name, and what is wrong with them."""

from __future__ import annotations

import pytest

from toril.engine.redis.endpoint import Endpoint, parse
from toril.errors import ConfigurationError
from toril.stores import open_engine


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


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://host/one", "'one' in the URL is no database's number"),
        ("redis://host:99999", "port"),
        ("redis://host:port", "port"),
        ("redis://host?tiemout=3", "did you mean 'timeout'"),
        ("redis://host?timeout=soon", "give a number of seconds"),
        ("redis://host?timeout=-1", "give a number of seconds"),
        ("redis://host?timeout=inf", "give a number of seconds"),
        ("unix://", "names no socket"),
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
    ],
)
def test_a_location_is_shown_without_its_password(url: str, shown: str) -> None:
    assert open_engine(url).location == shown


def test_a_certificate_that_cannot_be_read_is_named() -> None:
    endpoint = parse("rediss://host?ca=/nowhere.pem")
    with pytest.raises(ConfigurationError, match="certificate"):
        endpoint.tls_context()
