"""The Celery application, as its producer and its worker both see it."""

from collections.abc import Callable

from celery import Celery, Task

from benchmarks.peers.redis_store import QUEUE, url

# Celery's best settings: no result backend, no events, no rate limits, no remote control, and no
# check of the arguments against the signature. Its prefetch is the default of four jobs a slot:
# more gained nothing. Jobs are acknowledged before they run, which is its default, too.


def make(port: int, handler: Callable[[str], None]) -> tuple[Celery, Task]:
    """Make an application with one task."""
    app = Celery("bench", broker=url(port))
    app.conf.update(
        task_ignore_result=True,
        task_default_queue=QUEUE,
        task_send_sent_event=False,
        worker_send_task_events=False,
        worker_disable_rate_limits=True,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
    )
    task = app.task(handler, name="noop", typing=False)
    app.finalize()
    return app, task
