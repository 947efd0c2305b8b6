"""The Lua scripts: loaded from the package, with their shared pieces, and run by their hash."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

import hiredis

from toril.engine.redis.connection.wire import Wire

_FLAGS = re.compile(r"^-- flags: (.+)$", re.MULTILINE)
_FLAGS_SINCE = (7, 0)  # before, a script's first line may not say what it wants
_INCLUDE = re.compile(r"^-- include: (\w+)$", re.MULTILINE)
_INSERT = re.compile(r"^ +-- insert: (\w+)$", re.MULTILINE)
_CALL = re.compile(r"call\('(\w+)'")
_FOLDER = files("toril.engine.redis") / "lua"


class Script:
    """A script.

    Attributes:
        name: Its file's name.
    """

    __slots__ = ("_flagged", "_plain", "name")

    def __init__(self, name: str) -> None:
        """Load a script.

        Args:
            name: Its file's name, without the ending.
        """
        self.name = name
        own = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
        pieces = [_piece(piece) for piece in dict.fromkeys(_INCLUDE.findall(own))]
        text = _INSERT.sub(lambda found: _piece(found[1]), "\n".join([*pieces, own]))
        flags = _FLAGS.search(own)
        self._plain = _hashed(text)
        self._flagged = _hashed(f"#!lua flags={flags[1]}\n{text}") if flags else self._plain

    def text_for(self, version: tuple[int, ...]) -> tuple[str, str]:
        """Return what a server of a version is given, and the hash by which it knows it."""
        return self._flagged if version >= _FLAGS_SINCE else self._plain

    async def run(self, wire: Wire, keys: tuple[str, ...], *args: Any) -> Any:
        """Run it.

        Args:
            wire: The connection.
            keys: Its KEYS.
            *args: Its ARGV.

        Raises:
            hiredis.ReplyError: It was refused.
            WireLostError: Whether it was run is not known.
        """
        text, sha = self.text_for(wire.version)
        try:
            return await wire.send("EVALSHA", sha, len(keys), *keys, *args)
        except hiredis.ReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        # The server was restarted, or its scripts were flushed: it ran nothing.
        return await wire.send("EVAL", text, len(keys), *keys, *args)


def _hashed(text: str) -> tuple[str, str]:
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@cache
def _piece(name: str) -> str:
    return (_FOLDER / "include" / f"{name}.lua").read_text(encoding="utf-8")


@cache
def script(name: str) -> Script:
    """Return a script by its file's name."""
    return Script(name)


@cache
def commands_of_scripts() -> frozenset[str]:
    """Return every command that a script calls."""
    lua = [
        file.read_text(encoding="utf-8")
        for folder in (_FOLDER, _FOLDER / "include")
        for file in folder.iterdir()
        if file.name.endswith(".lua")
    ]
    return frozenset(_CALL.findall("".join(lua)))
