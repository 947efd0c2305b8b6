"""A user's ACL: what Toril needs and no more is enough, and what lacks is named."""

from __future__ import annotations

import pytest

from tests.redis_server import RedisServer
from toril import JobContext, QueueManager, Settings
from toril.engine.contract.diagnosis import Finding
from toril.engine.redis.diagnosis.acl import _requests
from toril.errors import StoreUnavailableError

NEEDED = sorted({f"+{request[0].lower()}" for request in _requests()})


@pytest.fixture
def user(server: RedisServer):
    """Make a user with these rules, and return the URL with its login."""

    def make(*rules: str) -> str:
        server.ask("ACL", "SETUSER", "ada", "reset", "on", ">secret", *rules)
        return server.url.replace("redis://", "redis://ada:secret@")

    yield make
    server.ask("ACL", "DELUSER", "ada")


async def found(url: str) -> dict[str, Finding]:
    manager = QueueManager(url, settings=Settings())
    findings = {finding.check: finding for finding in await manager.examine()}
    await manager.shutdown()
    return findings


async def test_a_user_with_the_commands_and_keys_that_toril_needs_can_work(user) -> None:
    url = user("~bull:*", "~toril:queues", *NEEDED)
    manager = QueueManager(url, settings=Settings())

    async def double(job: JobContext) -> int:
        return int(job.data) * 2

    manager.register_processor("q", double)
    async with manager:
        await manager.start_workers()
        plain = await manager.add_job("q", data=1, tags=["t"])
        later = await manager.add_job("q", data=2, delay=0.05, priority=3)
        assert [await one.result(timeout=10) for one in (plain, later)] == [2, 4]
        assert [info.ref.name for info in await manager.engine.queues.all()] == ["q"]
    findings = await found(url)
    assert findings["permissions"].level == "ok"
    assert findings["info"].level == "warning"  # the doctor could tell more


async def test_a_command_that_an_acl_lacks_is_named_with_the_way_out(user) -> None:
    finding = (await found(user("~*", *NEEDED, "-xadd", "-evalsha", "+acl|whoami")))["permissions"]
    assert finding.level == "error"
    assert "the ACL of user ada lacks XADD, EVALSHA" in finding.message
    assert "ACL SETUSER ada ~toril:queues ~<prefix>:* +xadd +evalsha" in finding.message


async def test_a_key_that_an_acl_lacks_is_named(user) -> None:
    finding = (await found(user("~bull:*", "+@all")))["permissions"]
    assert finding.level == "error"
    assert "or the key toril:queues" in finding.message


async def test_a_user_that_may_run_no_script_is_told_so(user) -> None:
    url = user("~*", "+ping", "+time")
    assert "+eval +evalsha" in (await found(url))["permissions"].message
    manager = QueueManager(url, settings=Settings())
    with pytest.raises(StoreUnavailableError, match="`toril doctor` shows what the ACL lacks"):
        await manager.add_job("q")
    await manager.shutdown()
