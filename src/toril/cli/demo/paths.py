"""File paths as text for a job's JSON, even if their bytes are not UTF-8."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

_SCHEME = "file://"


def to_text(path: Path) -> str:
    """Return an absolute path as text, or as a file URL if its bytes are not UTF-8.

    Args:
        path: The path.
    """
    whole = path.absolute()
    try:
        str(whole).encode()
    except UnicodeEncodeError:
        return whole.as_uri()
    return str(whole)


def from_text(text: str) -> Path:
    """Return the path that `to_text` encoded.

    Args:
        text: The text.
    """
    if text.startswith(_SCHEME):  # absolute paths never do
        return Path(os.fsdecode(unquote_to_bytes(urlsplit(text).path)))
    return Path(text)
