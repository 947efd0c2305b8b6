"""Toril: background jobs for Python, embedded or on Redis in BullMQ's data layout."""

from toril.application.manager import QueueManager
from toril.application.sync import SyncQueueManager
from toril.config import Settings
from toril.engine.contract.jobs import Page
from toril.errors import (
    ConfigurationError,
    ConflictError,
    EngineError,
    JobCancelledError,
    JobError,
    JobFailedError,
    JobRemovedError,
    NotFoundError,
    PartlyAddedError,
    PayloadLostError,
    ResultTimeoutError,
    StoreBusyError,
    StoreCorruptError,
    StoreFullError,
    StoreReadOnlyError,
    StoreRejectedError,
    StoreUnavailableError,
    StoreVersionError,
    TorilError,
    UnsupportedError,
    ValidationError,
)
from toril.model.events import (
    Event,
    JobAdded,
    JobCompleted,
    JobFailed,
    JobReleased,
    JobRetrying,
    JobStalled,
    JobStarted,
    LeaseLost,
)
from toril.model.job import AttemptError, Job, QueueRef
from toril.model.job_options import JobOptions
from toril.model.limits import RateLimit
from toril.model.options import Backoff, Deduplication, Keep, Priority
from toril.model.outcome import Cancel, Retry, Snooze, Unrecoverable
from toril.model.state import JobState
from toril.queues.context import JobContext, current_job
from toril.queues.handle import JobHandle
from toril.queues.metrics import QueueMetrics
from toril.queues.queue import Queue
from toril.queues.sync import SyncJobHandle
from toril.queues.task import Task
from toril.worker.middleware import CallNext, Middleware
from toril.worker.settings import WorkerSettings
from toril.worker.worker import Worker

__version__ = "0.1.0"

__all__ = [
    "AttemptError",
    "Backoff",
    "CallNext",
    "Cancel",
    "ConfigurationError",
    "ConflictError",
    "Deduplication",
    "EngineError",
    "Event",
    "Job",
    "JobAdded",
    "JobCancelledError",
    "JobCompleted",
    "JobContext",
    "JobError",
    "JobFailed",
    "JobFailedError",
    "JobHandle",
    "JobOptions",
    "JobReleased",
    "JobRemovedError",
    "JobRetrying",
    "JobStalled",
    "JobStarted",
    "JobState",
    "Keep",
    "LeaseLost",
    "Middleware",
    "NotFoundError",
    "Page",
    "PartlyAddedError",
    "PayloadLostError",
    "Priority",
    "Queue",
    "QueueManager",
    "QueueMetrics",
    "QueueRef",
    "RateLimit",
    "ResultTimeoutError",
    "Retry",
    "Settings",
    "Snooze",
    "StoreBusyError",
    "StoreCorruptError",
    "StoreFullError",
    "StoreReadOnlyError",
    "StoreRejectedError",
    "StoreUnavailableError",
    "StoreVersionError",
    "SyncJobHandle",
    "SyncQueueManager",
    "Task",
    "TorilError",
    "Unrecoverable",
    "UnsupportedError",
    "ValidationError",
    "Worker",
    "WorkerSettings",
    "__version__",
    "current_job",
]
