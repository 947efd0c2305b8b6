"""Dry-run check for missing ACL permissions."""

from __future__ import annotations

from toril.engine.contract.diagnosis import Finding
from toril.engine.redis.connection.errors import is_forbidden
from toril.engine.redis.connection.server import PrimaryConnections
from toril.engine.redis.scripts.keys import QUEUES
from toril.engine.redis.scripts.script import as_json, commands_of_scripts
from toril.errors import EngineError

_SINCE = (7, 0)  # the first version with redis.acl_check_cmd
_WITHOUT_KEY = ("PING", "TIME")
_WITH_KEY = (
    "BZPOPMIN",
    "HGETALL",
    "LRANGE",
    "SADD",
    "SMEMBERS",
    "SREM",
    "XRANGE",
    "XREVRANGE",
    "ZADD",
    "ZRANGEBYSCORE",
    "ZREM",
)
_COMPLETE = (
    ("EVAL", "return 1", "1", QUEUES),
    ("EVALSHA", "0" * 40, "1", QUEUES),
    ("XREAD", "COUNT", "1", "STREAMS", QUEUES, "0"),
)
_LACKING = """
local lacking = {}
for _, request in ipairs(cjson.decode(ARGV[1])) do
    if not redis.acl_check_cmd(unpack(request)) then
        lacking[#lacking + 1] = request[1]
    end
end
return lacking
"""


async def permissions(connections: PrimaryConnections) -> list[Finding]:
    """Report missing permissions; nothing if the server cannot check them."""
    if (await connections.wire()).version < _SINCE:
        return []
    try:
        lacking = await connections.call("EVAL", _LACKING, 0, as_json(_requests()))
    except EngineError as error:
        if not is_forbidden(error):
            raise
        lacking = ["EVAL", "EVALSHA"]
    if not lacking:
        return [Finding("ok", "permissions", "the user has all permissions that Toril needs")]
    named = ", ".join(lacking)
    allowed = " ".join(f"+{command.lower()}" for command in lacking)
    user = await _user(connections)
    return [
        Finding(
            "error",
            "permissions",
            f"the ACL of user {user} lacks {named}, or the key {QUEUES}; ask an administrator to "
            f"run ACL SETUSER {user} ~{QUEUES} ~<prefix>:* {allowed}",
        )
    ]


def _requests() -> list[tuple[str, ...]]:
    """Return a request for each command. Only the command and its key matter."""
    with_key = (commands_of_scripts() | {*_WITH_KEY}) - {*_WITHOUT_KEY}
    keyed = [(command, QUEUES, QUEUES, QUEUES) for command in sorted(with_key)]
    return [*keyed, *_COMPLETE, *((command,) for command in _WITHOUT_KEY)]


async def _user(connections: PrimaryConnections) -> str:
    try:
        name: str = await connections.call("ACL", "WHOAMI")
    except EngineError:
        return "<user>"
    return name
