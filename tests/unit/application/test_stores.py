"""From a URL to an engine: what it names, and what is wrong with it."""

import re
from urllib.parse import quote

import pytest

from toril import ConfigurationError
from toril.application.stores import open_engine


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
        ("http://[", "http"),
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
        "redis://:s3cret@h:port",
        "rediss://:s3cret@h?timeout=s",
        "mysql://a:s3cret@h/db?x=1",
    ],
)
def test_no_error_shows_a_password(url):
    with pytest.raises(ConfigurationError) as caught:
        open_engine(url)

    assert "s3cret" not in str(caught.value)
