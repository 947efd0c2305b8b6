"""A payload store on any fsspec file system: S3, Google Cloud Storage, Azure, SFTP and more."""

from __future__ import annotations

import contextlib
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from toril.errors import ConfigurationError


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
        password = urlsplit(url).password
        self.location = url.replace(f":{password}@", ":***@") if password else url
        self._url = url
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
            raise ConfigurationError(f"payload_store {self.location!r}: {error}") from error

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
