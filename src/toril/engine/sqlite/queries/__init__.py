"""The engine's SQL queries, loaded from .sql files and cached."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load(file: str) -> MappingProxyType[str, str]:
    """Return the queries in a file, by name.

    Args:
        file: The file's name without `.sql`.
    """
    text = (files(__package__) / f"{file}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]  # skips the file's header comment
    return MappingProxyType(
        {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}
    )
