"""Stores of payloads: in a folder, and where fsspec keeps files."""

import errno
import os
import resource
import sys
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest

from toril.errors import (
    ConfigurationError,
    PayloadLostError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from toril.model.claim import decode_claim
from toril.payloads import PayloadStore, open_payload_store, redeem
from toril.payloads.directory import Directory
from toril.payloads.remote import Remote

TEXT = '{"text":"' + "🐂é" * 1000 + '"}'
DAY_MS = 86_400_000


class MovableClock:
    def __init__(self):
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def wall_ms(self):
        return int(self.now.timestamp() * 1000)

    def monotonic(self):
        raise NotImplementedError


@pytest.fixture
def clock():
    return MovableClock()


@pytest.fixture(params=["folder", "objects", "files"])
def where(request, tmp_path):
    match request.param:
        case "folder":
            yield str(tmp_path / "payloads")
        case "objects":  # of fsspec, without folders
            yield f"memory://{tmp_path}"
            fsspec.filesystem("memory").store.clear()
        case "files":  # of fsspec, whose folders have to be made
            yield f"local://{tmp_path}/payloads"


@pytest.fixture
def store(where, clock):
    return at(where, clock=clock)


def at(where, threshold=1024, max_bytes=1 << 20, **given):
    return open_payload_store(where, threshold=threshold, max_bytes=max_bytes, **given)


def files_of(folder):
    return sorted(file for file in Path(folder).rglob("*") if file.is_file())


# Putting and getting


def test_what_was_put_is_what_one_gets(store):
    assert redeem(store.put(TEXT), store) == TEXT


def test_a_store_that_was_opened_elsewhere_has_the_same(store, where):
    assert redeem(store.put(TEXT), at(where)) == TEXT


def test_equal_payloads_of_a_day_are_one(store, clock):
    first = store.put(TEXT)
    assert store.put(TEXT) == first

    clock.now += timedelta(days=1)
    assert store.put(TEXT) != first
    assert store.remove_older_than(0) == 1


def test_a_file_has_the_name_that_its_claim_says_and_nothing_else_is_left(tmp_path, clock):
    claim = decode_claim(at(tmp_path, clock=clock).put(TEXT))

    assert files_of(tmp_path) == [tmp_path / "2026-03-01" / claim.sha256[:2] / claim.sha256]
    assert (tmp_path / claim.path).read_text(encoding="utf-8") == TEXT


def test_a_file_url_is_a_folder_and_may_have_signs_in_percent_encoding(tmp_path):
    at(f"file://{tmp_path}/my%20payloads").put(TEXT)

    assert len(files_of(tmp_path / "my payloads")) == 1


# What is not there, or not whole


def test_a_payload_that_was_removed_is_lost(store, where):
    data = store.put(TEXT)
    other = store.put(TEXT[::-1])
    remove(where, decode_claim(data).path)

    with pytest.raises(PayloadLostError, match=decode_claim(data).sha256) as caught:
        redeem(data, store)
    assert store.location in str(caught.value)
    assert redeem(other, store) == TEXT[::-1]


@pytest.mark.parametrize(
    "content",
    [b"", TEXT.encode()[:-1], TEXT.encode() + b" ", TEXT.encode().replace(b"text", b"test")],
    ids=["empty", "shorter", "longer", "other"],
)
def test_a_damaged_payload_is_lost(store, where, content):
    data = store.put(TEXT)
    overwrite(where, decode_claim(data).path, content)

    with pytest.raises(PayloadLostError, match="is damaged"):
        redeem(data, store)


@pytest.mark.parametrize("change", ["take away", "empty"])
def test_a_folder_that_is_away_is_no_loss_for_it_may_come_back(tmp_path, change):
    store = at(tmp_path / "mount")
    data = store.put(TEXT)
    (tmp_path / "mount").rename(tmp_path / "elsewhere")
    if change == "empty":
        (tmp_path / "mount").mkdir()

    with pytest.raises(StoreUnavailableError, match="is its disk mounted"):
        redeem(data, store)


def test_a_link_in_place_of_a_payload_is_not_followed(tmp_path):
    store = at(tmp_path / "payloads")
    data = store.put(TEXT)
    file = tmp_path / "payloads" / decode_claim(data).path
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StoreUnavailableError, match="cannot be read"):
        redeem(data, store)


def test_a_payload_that_is_larger_than_allowed_is_not_read(store, where):
    with pytest.raises(ConfigurationError, match="payload_max_bytes"):
        redeem(store.put(TEXT), at(where, max_bytes=2048))


def test_without_a_store_it_is_said_which_setting_is_missing(store):
    with pytest.raises(ConfigurationError, match="TORIL_PAYLOAD_STORE"):
        redeem(store.put(TEXT), None)


def test_what_looks_like_a_claim_and_leads_elsewhere_is_refused(store):
    data = store.put(TEXT).replace('"sha256":"', '"sha256":"../')

    with pytest.raises(PayloadLostError, match="not a valid claim"):
        redeem(data, store)


# What cannot be written


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
        (errno.EACCES, StoreReadOnlyError),
        (errno.EROFS, StoreReadOnlyError),
        (errno.EIO, StoreUnavailableError),
    ],
    ids=errno.errorcode.get,
)
def test_what_the_disk_refuses_has_its_error(tmp_path, number, error):
    class Refusing(Directory):
        def write(self, path, content):
            raise OSError(number, os.strerror(number))

    store = PayloadStore(Refusing(tmp_path), threshold=1024, max_bytes=2048)

    with pytest.raises(error, match=tmp_path.as_uri()) as caught:
        store.put(TEXT)
    assert isinstance(caught.value.__cause__, OSError)


def test_a_write_that_fails_in_the_middle_leaves_nothing(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(TEXT) // 2, before[1]))
    try:
        with pytest.raises(StoreUnavailableError, match="cannot be written"):
            at(tmp_path).put(TEXT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert files_of(tmp_path) == []


# Removing


def test_payloads_go_when_their_day_ended_long_enough_ago(store, clock):
    old = store.put(TEXT)
    clock.now += timedelta(days=1)
    new = store.put(TEXT)
    clock.now = datetime(2026, 3, 9, tzinfo=UTC) - timedelta(milliseconds=1)
    assert store.remove_older_than(7 * DAY_MS) == 0
    clock.now += timedelta(milliseconds=1)

    assert store.remove_older_than(7 * DAY_MS) == 1
    with pytest.raises(PayloadLostError):
        redeem(old, store)
    assert redeem(new, store) == TEXT


def test_nothing_is_removed_that_is_not_of_a_day(tmp_path):
    store = at(tmp_path)
    kept = [tmp_path / name / "file" for name in ("2026-13-01", "20260101", "2020-01-01x", "mine")]
    for file in kept:
        file.parent.mkdir()
        file.touch()
    (tmp_path / "2020-01-01").touch()

    assert store.remove_older_than(0) == 0
    assert files_of(tmp_path) == sorted([*kept, tmp_path / "2020-01-01"])


def test_a_store_that_is_not_there_yet_has_nothing_to_remove(store):
    assert store.remove_older_than(0) == 0


# Naming a store


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("", "must be a folder or a URL"),
        (5, "must be a folder or a URL"),
        ("file://", "does not name a folder"),
        ("file://server/share", "does not name a folder"),
        ("nonsense://bucket", "nonsense"),
        ("s3://[bucket", "is not a valid URL"),
        ("nonsense://user:secret@server/x", r"nonsense://user:\*\*\*@server/x"),
    ],
)
def test_a_place_that_cannot_be_is_refused(where, what):
    with pytest.raises(ConfigurationError, match=what):
        at(where)


@pytest.mark.parametrize(
    "where",
    [
        "nonsense://user:s3cret/Word@server/x",
        "nonsense://s3cret/Word@server/x",
        "nonsense://user:12?s3cret@server",
        "nonsense://[s3cret@server",
        "file://user:s3cret@server/x",
        "simplecache::nonsense://user:s3cret@server/x",
        "nonsense://bucket/x?secret=s3cret",
    ],
)
def test_no_error_about_a_place_shows_a_password(where):
    try:
        shown = at(where).location
    except ConfigurationError as error:
        shown = "".join(traceback.format_exception(error))

    assert "s3cret" not in shown


def test_an_error_of_a_file_system_that_quotes_its_url_shows_no_password():
    url = "http://user:s3cret%2FWord@127.0.0.1:9/payloads"
    remote = Remote("memory" + url.removeprefix("http"))

    shown = remote.describe(OSError(f"{url} and s3cret/Word"))

    assert "s3cret" not in shown
    assert "127.0.0.1:9" in shown


@pytest.mark.parametrize("value", [0, 1023, 2**30 + 1, 1.5, True, "256k"])
@pytest.mark.parametrize("field", ["threshold", "max_bytes"])
def test_a_limit_that_cannot_be_is_refused(tmp_path, field, value):
    with pytest.raises(ConfigurationError, match=f"payload_{field}"):
        at(tmp_path, **{field: value})


def test_without_fsspec_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'toril\[fsspec\]'"):
        at("s3://bucket/payloads")


def remove(where, path):
    if "://" in where:
        system, root = fsspec.core.url_to_fs(where)
        system.rm(f"{root}/{path}")
    else:
        (Path(where) / path).unlink()


def overwrite(where, path, content):
    if "://" in where:
        system, root = fsspec.core.url_to_fs(where)
        system.pipe_file(f"{root}/{path}", content)
    else:
        (Path(where) / path).write_bytes(content)


@pytest.fixture
def no_mask():
    before = os.umask(0)
    yield
    os.umask(before)


def modes_below(root):
    found = [root, *root.rglob("*")]
    return {oct(path.stat().st_mode & 0o777) for path in found if path.is_dir()}, {
        oct(path.stat().st_mode & 0o777) for path in found if path.is_file()
    }


@pytest.mark.usefixtures("no_mask")
@pytest.mark.parametrize("made", [None, 0o755])
def test_payloads_are_for_their_user_alone(tmp_path, made):
    root = tmp_path / "payloads"
    if made:
        root.mkdir(made)
    at(root).put(TEXT)

    folders, files = modes_below(root)
    assert (folders, files) == ({"0o700", oct(made or 0o700)}, {"0o600"})


@pytest.mark.parametrize("mode", [0o770, 0o777])
def test_a_folder_that_a_group_can_write_to_is_shared_with_it(tmp_path, mode):
    root = tmp_path / "payloads"
    root.mkdir()
    root.chmod(mode)
    at(root).put(TEXT)

    assert modes_below(root) == ({oct(mode)}, {oct(mode & 0o666)})
