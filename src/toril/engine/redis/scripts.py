"""The Lua scripts: loaded from the package, with their shared pieces, and run by their hash."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

import hiredis

from toril.engine.redis.wire import Wire

_INCLUDE = re.compile(r"^-- include: (\w+)$", re.MULTILINE)
_FOLDER = files("toril.engine.redis") / "lua"


class Script:
    """A script.

    Attributes:
        name: Its file's name.
        text: What the server is given: the shared pieces that it names, then itself.
        sha: By which the server knows it.
    """

    __slots__ = ("name", "sha", "text")

    def __init__(self, name: str) -> None:
        """Load a script.

        Args:
            name: Its file's name, without the ending.
        """
        self.name = name
        own = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
        pieces = [_piece(piece) for piece in dict.fromkeys(_INCLUDE.findall(own))]
        self.text = "\n".join([*pieces, own])
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

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
        try:
            return await wire.send("EVALSHA", self.sha, len(keys), *keys, *args)
        except hiredis.ReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        # The server was restarted, or its scripts were flushed: it ran nothing.
        return await wire.send("EVAL", self.text, len(keys), *keys, *args)


@cache
def _piece(name: str) -> str:
    return (_FOLDER / "include" / f"{name}.lua").read_text(encoding="utf-8")


@cache
def script(name: str) -> Script:
    """Return a script by its file's name."""
    return Script(name)
