"""A program without an event loop: a WSGI application that adds jobs and reads results."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from toril import QueueManager

manager = QueueManager("sqlite:///wsgi.db")
reports = manager.register_queue("reports")


@reports.task
def build(month: str) -> dict[str, str]:
    return {"month": month, "pages": "12"}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Add a report job, or return the result of one."""
    job_id = environ["QUERY_STRING"]
    if not job_id:
        handle = manager.sync.enqueue(build, "2025-01")
        start_response("202 Accepted", [("Content-Type", "text/plain")])
        return [handle.id.encode()]
    found = manager.sync.get_job("reports", job_id)
    status = "404 Not Found" if found is None else "200 OK"
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(None if found is None else found.result).encode()]


def main() -> None:
    """Call the application as a server would. This program also runs the jobs."""
    answers: list[str] = []

    def answer(status: str, _headers: list[tuple[str, str]]) -> None:
        answers.append(status)

    with manager.sync as jobs:
        jobs.start_workers()
        job_id = b"".join(application({"QUERY_STRING": ""}, answer)).decode()
        jobs.queue("reports").handle(job_id).result(timeout=10)
        body = b"".join(application({"QUERY_STRING": job_id}, answer))
        print(answers, body.decode())


if __name__ == "__main__":
    main()
