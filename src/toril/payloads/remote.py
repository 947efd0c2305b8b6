"""A payload store on any fsspec file system: S3, Google Cloud Storage, Azure, SFTP and more."""

from __future__ import annotations

import contextlib
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urlsplit

from toril.errors import ENCODE_LOGIN, ConfigurationError


class Remote:
    """A folder on an fsspec file system.

    Attributes:
        location: The URL without a password.
    """

    def __init__(self, url: str) -> None:
        """Use a URL, to which a connection is made on first use.

        Args:
            url: A URL that fsspec supports.

        Raises:
            ConfigurationError: fsspec, or a package that it needs for this URL, is not installed.
        """
        self.location = "::".join(map(_location, url.split("::")))
        self._url = url
        self._secrets = _secrets(url)
        try:
            import fsspec  # noqa: PLC0415 - an extra
        except ImportError:
            raise ConfigurationError(
                f"payload_store {self.location!r} needs fsspec: pip install 'toril[fsspec]' "
                "(a folder needs no extra package: file:///var/lib/toril/payloads)"
            ) from None
        try:
            fsspec.get_filesystem_class(url.partition("://")[0].partition("::")[0])
        except (ImportError, ValueError) as error:
            raise ConfigurationError(f"payload_store {self.location!r}: {error}") from None

    def describe(self, error: Exception) -> str:
        """Return an error as text. Some file systems quote the whole URL in their errors."""
        text = f"{type(error).__name__}: {error}"
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    @cached_property
    def _filesystem(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra

        system, root = url_to_fs(self._url)
        return system, root.rstrip("/")

    def write(self, path: str, content: bytes) -> None:
        """Write a file. An existing file is left alone, as a reader may have it open."""
        system, root = self._filesystem
        target = f"{root}/{path}"
        with contextlib.suppress(FileNotFoundError):
            if system.size(target) == len(content):
                return
        try:
            system.pipe_file(target, content)
        except FileNotFoundError:  # this file system needs the folder to exist
            system.makedirs(target.rpartition("/")[0], exist_ok=True)
            system.pipe_file(target, content)

    def read(self, path: str, most: int) -> bytes:
        """Return a file's first bytes.

        Args:
            path: The path relative to the URL.
            most: The maximum number of bytes.

        Raises:
            FileNotFoundError: The file does not exist.
        """
        system, root = self._filesystem
        content: bytes = system.cat_file(f"{root}/{path}", start=0, end=most)
        return content

    def folders(self) -> list[str]:
        """Return the names of the subfolders."""
        system, root = self._filesystem
        system.invalidate_cache()
        try:
            found: list[str] = system.ls(root, detail=False)
        except FileNotFoundError:
            return []
        return [name.rstrip("/").rpartition("/")[2] for name in found]

    def remove(self, folder: str) -> int:
        """Remove a subfolder; return how many payloads it contained."""
        system, root = self._filesystem
        count = len(system.find(f"{root}/{folder}"))
        system.rm(f"{root}/{folder}", recursive=True)
        return count


def _location(url: str) -> str:
    """Return a URL without its password and parameters; only the scheme if they may be elsewhere.

    Raises:
        ConfigurationError: The URL cannot be read, or has a password that is not percent-encoded.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises if it is not a number
    except ValueError:
        raise ConfigurationError(f"payload_store is not a valid URL; {ENCODE_LOGIN}") from None
    user, at, host = parts.netloc.rpartition("@")
    if not at and "@" in url:  # a slash in a user name or password ends the host
        if ":" in host:
            raise ConfigurationError(f"payload_store is not a valid URL; {ENCODE_LOGIN}")
        return f"{parts.scheme}://…"
    login = f"{user.partition(':')[0]}:***@" if ":" in user else "***@" if at else ""
    return f"{parts.scheme}://{login}{host}{parts.path}" if parts.scheme else url


def _secrets(url: str) -> list[str]:
    """Return the parts of a URL that errors must not show, the longest first."""
    found: set[str] = set()
    for part in map(urlsplit, url.split("::")):
        login, _, _ = part.netloc.rpartition("@")
        user, _, password = login.partition(":")
        found |= {login, password or user, part.query, part.fragment}
        found |= set(map(unquote, found))
    return sorted(filter(None, found), key=len, reverse=True)
