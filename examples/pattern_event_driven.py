"""Event-driven: application events become jobs, and a repeated event adds nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from toril import JobContext, Priority, QueueManager

manager = QueueManager("sqlite:///events.db")
events = manager.register_queue("user-events")
Listener = Callable[[str, dict[str, Any]], Awaitable[None]]
listeners: dict[str, list[Listener]] = {}


def on(kind: str) -> Callable[[Listener], Listener]:
    def listen(listener: Listener) -> Listener:
        listeners.setdefault(kind, []).append(listener)
        return listener

    return listen


async def publish(kind: str, event_id: str, data: dict[str, Any]) -> None:
    for listener in listeners.get(kind, ()):
        await listener(event_id, data)


@on("user.registered")
async def enqueue_registration(event_id: str, data: dict[str, Any]) -> None:
    await manager.add_job(
        "user-events",
        "handle-registration",
        data,
        job_id=f"registered-{event_id}",  # publishing an event twice adds one job
        priority=Priority.HIGH,
        correlation_id=event_id,
        tags=["user-event", "registration"],
    )


async def handle(job: JobContext) -> str:
    return f"welcome, {job.data['name']} ({job.correlation_id})"


manager.register_processor("user-events", handle)


async def main() -> None:
    async with manager:
        await publish("user.registered", "e-1", {"name": "Ada"})
        await publish("user.registered", "e-1", {"name": "Ada"})
        await publish("user.registered", "e-2", {"name": "Grace"})
        await manager.run_workers(burst=True)
        async for job in events.each(tag="registration"):
            print(job.state, job.result)


if __name__ == "__main__":
    asyncio.run(main())
