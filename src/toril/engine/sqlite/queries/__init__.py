"""The engine's SQL: named queries in .sql files, read once."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load(file: str) -> MappingProxyType[str, str]:
    """Return the queries of a file by name.

    Args:
        file: The file's name without `.sql`.
    """
    text = (files(__package__) / f"{file}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]  # what stands before the first name is the file's comment
    return MappingProxyType(
        {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}
    )
