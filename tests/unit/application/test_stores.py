"""From a URL to an engine: what it names, and what is wrong with it."""

import re
import traceback
from urllib.parse import quote

import pytest

from toril import ConfigurationError, QueueManager, Settings
from toril.application.stores import open_engine
from toril.engine.redis.connection.target import parse


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///toril.db", "toril.db"),
        ("sqlite:///data/toril.db", "data/toril.db"),
        ("SQLITE:///toril.db", "toril.db"),
        ("sqlite:///with%20space.db", "with space.db"),
        ("sqlite:///with space.db", "with space.db"),
        ("sqlite:///a%23b.db", "a#b.db"),
        ("sqlite:///a%3Fb.db", "a?b.db"),
    ],
)
def test_three_slashes_name_a_file_in_the_current_folder(url, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert open_engine(url).location == f"sqlite:///{quote(str(tmp_path / path))}"


def test_four_slashes_name_a_file_by_its_whole_path():
    assert open_engine("sqlite:////var/lib/toril.db").location == "sqlite:////var/lib/toril.db"


def test_memory_is_the_same_engine_without_a_file():
    engine = open_engine("memory://")

    assert engine.location == "memory://"
    assert engine.capabilities.name == "sqlite"
    assert not engine.capabilities.durable
    assert open_engine("sqlite:///x.db").capabilities.durable


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("sqlite://", "does not name a file; use sqlite:///toril.db"),
        ("sqlite:///", "does not name a file"),
        ("sqlite://toril.db", "does not name a file"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///toril.db?mode=ro", "toril.db"),
        ("sqlite:///a#b.db", "%23"),
        ("memory://somewhere", "memory://"),
        ("amqp://localhost", "does not name an engine; use sqlite:///"),
        ("mysql://localhost", "does not name an engine; use sqlite:///"),
        ("toril.db", "sqlite:///"),
        ("http://[", "does not name an engine"),
        ("", "sqlite:///"),
    ],
)
def test_a_url_that_names_no_store_is_answered_with_what_to_write(url, what):
    with pytest.raises(ConfigurationError, match=re.escape(what)):
        open_engine(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:s3cret@h/zero",
        "redis://:s3cret/Word@h",
        "redis://:12/s3cret@h",
        "redis://:12#s3cret@h",
        "redis://:12?s3cret@h",
        "redis://:12?timeout=s3cret@h",
        "redis://:s3cret[x@h",
        "redis://s3cret@h",
        "redis://user:12#s3cret@h",
        "rediss://s3cret/Word@h",
        "unix://:s3cret/Word@/run/redis.sock",
        "redis+sentinel://:s3cret/Word@h:26379/jobs",
        "redis+sentinel://:12/s3cret@h:26379",
        "redis+sentinel://h/jobs?sentinel_password=12#s3cret",
        "redis+cluster://:s3cret/Word@h:1,h:2",
        "redis+cluster://:12/s3cret@h:1,h:2",
        "redis+cluster://h,[s3cret",
        "sqlite://user:s3cret@h/file",
        "user:s3cret@h",
        "s3cret://h",
        "redis://:s3cret@h:port",
        "rediss://:s3cret@h?timeout=s",
        "mysql://a:s3cret@h/db?x=1",
    ],
)
def test_no_error_shows_a_password(url):
    with pytest.raises(ConfigurationError) as caught:
        open_engine(url)

    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("password", ["a/b", "a?b", "a#b", "[", "a/b@c"])
def test_a_password_that_is_not_encoded_is_answered_with_what_to_encode(password):
    with pytest.raises(ConfigurationError, match="percent-encode it"):
        open_engine(f"redis://:{password}@h")


def test_what_holds_a_url_does_not_show_its_password():
    url = "redis+sentinel://ada:s3cret@h/jobs?sentinel_password=s3cret"
    settings = Settings(url=url, payload_store="sftp://ada:s3cret@h/x")

    for shown in (settings, parse(url), QueueManager(url, settings=Settings())):
        assert "s3cret" not in repr(shown)
