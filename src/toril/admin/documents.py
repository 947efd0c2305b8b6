"""Jobs and queues as JSON documents for scripts and clients. Their keys are stable."""

from __future__ import annotations

from typing import Any

import msgspec

from toril.engine.contract.queues import QueueInfo
from toril.model import codec
from toril.model.durations import from_epoch_ms
from toril.model.job import Job
from toril.model.job_options import encode_options
from toril.model.limits import RateLimit
from toril.queues.metrics import QueueMetrics


def iso(ms: int | None) -> str | None:
    """Return a time in ISO 8601 format, in UTC; None stays None.

    Args:
        ms: The time in milliseconds since 1970.
    """
    return None if ms is None else from_epoch_ms(ms).isoformat()


def job_document(job: Job) -> dict[str, Any]:
    """Return a job as a document.

    Args:
        job: The job.
    """
    return {
        "id": job.id,
        "queue": job.queue.name,
        "prefix": job.queue.prefix,
        "name": job.name,
        "state": job.state,
        "priority": job.priority,
        "data": _read(job.data_json),
        "options": codec.decode(encode_options(job.options, as_read=True)),
        "created_at": iso(job.created_ms),
        "due_at": iso(job.due_ms),
        "started_at": iso(job.started_ms),
        "finished_at": iso(job.finished_ms),
        "attempts_made": job.attempts_made,
        "attempts_started": job.attempts_started,
        "stalled": job.stalls,
        "progress": _read(job.progress_json),
        "result": _read(job.result_json),
        "worker": job.worker,
        "cancel_requested": job.cancel_requested,
        "errors": [
            {
                "attempt": error.attempt,
                "type": error.type,
                "message": error.message,
                "stack": error.stack,
                "ended_at": iso(error.ended_ms),
            }
            for error in job.errors
        ],
    }


def _read(text: str | None) -> Any:
    """Return JSON text as a value; text that another program wrote and that is no JSON as it is."""
    try:
        return None if text is None else codec.decode(text)
    except (ValueError, RecursionError):
        return text


def queue_document(metrics: QueueMetrics, info: QueueInfo) -> dict[str, Any]:
    """Return a queue as a document.

    Args:
        metrics: The queue's metrics.
        info: The queue's settings.
    """
    keys = info.by_key
    return {
        **msgspec.structs.asdict(metrics),
        "concurrency": info.concurrency,
        "rate_limit": rate_document(info.rate_limit),
        "by_key": keys
        and {
            "field": keys.field,
            "concurrency": keys.concurrency,
            "rate_limit": rate_document(keys.rate),
        },
    }


def rate_document(limit: RateLimit | None) -> dict[str, Any] | None:
    """Return a rate limit as a document with the keys max, per (in seconds) and burst."""
    if limit is None:
        return None
    return {"max": limit.max, "per": limit.per_ms / 1000, "burst": limit.burst}
