"""The Lua scripts: read from the package, combined with shared pieces, and identified by hash."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from toril.engine.contract.rules import LUA_CONSTANTS

_FLAGS = re.compile(r"^-- flags: (.+)$", re.MULTILINE)
_FLAGS_SINCE = (7, 0)  # older servers report the flags line as a syntax error
_INCLUDE = re.compile(r"^-- include: (\w+)$", re.MULTILINE)
_INSERT = re.compile(r"^ +-- insert: (\w+)$", re.MULTILINE)
_CONSTANT = re.compile(r"^ *-- constant: (\w+)$", re.MULTILINE)
_CALL = re.compile(r"(?:call|try)\('(\w+)'")
_FOLDER = files("toril.engine.redis") / "lua"

_encode = msgspec.json.Encoder().encode


def as_json(value: Any) -> str:
    """Return a value as JSON, for a script to decode or store."""
    try:
        return _encode(value).decode()
    except UnicodeEncodeError:  # it quotes something that is not UTF-8
        return json.dumps(msgspec.to_builtins(value))


class Script:
    """A Lua script.

    Attributes:
        name: The name of its file, without the extension.
    """

    __slots__ = ("_flagged", "_plain", "name")

    def __init__(self, name: str) -> None:
        """Load a script.

        Args:
            name: The name of its file, without the extension.
        """
        self.name = name
        own = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
        pieces = [_piece(piece) for piece in dict.fromkeys(_INCLUDE.findall(own))]
        text = _INSERT.sub(lambda found: _piece(found[1]), "\n".join([*pieces, own]))
        text = _CONSTANT.sub(lambda found: f"local {found[1]} = {LUA_CONSTANTS[found[1]]}", text)
        flags = _FLAGS.search(own)
        self._plain = _hashed(text)
        self._flagged = _hashed(f"#!lua flags={flags[1]}\n{text}") if flags else self._plain

    def text_for(self, version: tuple[int, ...]) -> tuple[str, str]:
        """Return the script's text for a server version, and the hash for EVALSHA."""
        return self._flagged if version >= _FLAGS_SINCE else self._plain


def _hashed(text: str) -> tuple[str, str]:
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@cache
def _piece(name: str) -> str:
    return (_FOLDER / "include" / f"{name}.lua").read_text(encoding="utf-8")


@cache
def script(name: str) -> Script:
    """Return a script by the name of its file."""
    return Script(name)


@cache
def commands_of_scripts() -> frozenset[str]:
    """Return every command that any script calls."""
    lua = [
        file.read_text(encoding="utf-8")
        for folder in (_FOLDER, _FOLDER / "include")
        for file in folder.iterdir()
        if file.name.endswith(".lua")
    ]
    return frozenset(_CALL.findall("".join(lua)))
