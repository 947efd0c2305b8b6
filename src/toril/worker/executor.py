"""The pipeline that takes every attempt from its lease to its outcome."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeVar

from msgspec.structs import replace

from toril.errors import PayloadLostError, StoreUnavailableError, TorilError
from toril.model import codec
from toril.model.claim import has_claim
from toril.model.exceptions import description_of
from toril.model.job import AttemptError, Lease
from toril.model.outcome import (
    CANCEL_REASON,
    STALL_REASON,
    Discarded,
    Errored,
    ErrorKind,
    Forfeited,
    Outcome,
    Released,
    Succeeded,
)
from toril.payloads import PayloadStore, redeem
from toril.printable import logger
from toril.queues.context import JobContext, set_current_job
from toril.worker.attempt import Attempt, Stop
from toril.worker.child import Run
from toril.worker.deadlines import Deadlines
from toril.worker.failures import error_from, error_of
from toril.worker.handlers import Handler, Routes
from toril.worker.middleware import Middleware, wrap
from toril.worker.outcomes import of_error, of_result
from toril.worker.processes import ProcessDiedError, ProcessPool
from toril.worker.progress import Reports
from toril.worker.shortage import NotStartedError, Shortage, advice_on
from toril.worker.threads import Threads
from toril.worker.unhandled import Unhandled

T = TypeVar("T")

_logger = logger("toril.worker")

_NO_LIMIT: nullcontext[None] = nullcontext()


class _EndedInProcessError(TorilError):
    """A process handler did not succeed. Raised so that middleware sees an exception."""

    def __init__(self, outcome: Outcome) -> None:
        error = getattr(outcome, "error", None)
        super().__init__("released" if error is None else f"{error.type}: {error.message}")
        self.outcome = outcome


class Executor:
    """Runs attempts on the event loop, in threads and in processes."""

    def __init__(
        self,
        *,
        reports: Reports,
        middleware: Sequence[Middleware],
        threads: Threads,
        processes: ProcessPool,
        unhandled: Unhandled,
        shortage: Shortage,
        cancel_grace: float,
    ) -> None:
        """Create an executor.

        Args:
            reports: Receives progress and log lines from handlers.
            middleware: Wraps every handler; the first one is the outermost.
            threads: Runs sync handlers.
            processes: Runs process handlers.
            unhandled: Decides about jobs without a handler.
            shortage: Hears of handlers that could not be started.
            cancel_grace: How long a handler may take after it was asked to stop, in seconds.
        """
        self._reports = reports
        self._middleware = middleware
        self._threads = threads
        self._processes = processes
        self._unhandled = unhandled
        self._shortage = shortage
        self._not_started: dict[Attempt, NotStartedError] = {}
        self._cancel_grace = cancel_grace
        self._deadlines = Deadlines()

    async def run(
        self, attempt: Attempt, routes: Routes, on_end: Callable[[Attempt], None]
    ) -> None:
        """Run an attempt and report its outcome. No exception from a handler gets out.

        Args:
            attempt: The attempt.
            routes: The queue's handlers.
            on_end: Called when the handler is no longer running.
        """
        try:
            outcome = self._refusal(attempt)
            if outcome is None:
                outcome = await self._perform(attempt, routes)
        except asyncio.CancelledError as error:
            outcome = self._interrupted(attempt, error)
        except BaseException as error:  # noqa: BLE001 - anything a handler raises ends its attempt
            outcome = self._raised(attempt, error)
        self._discard_deadline(attempt)
        try:
            in_thread = attempt.thread is not None and not attempt.thread.done()
            attempt.resolve(_after_stop(attempt, outcome, still_running=in_thread))
        finally:
            if attempt.thread is None:
                on_end(attempt)
            else:  # a thread cannot be stopped: it keeps its slot until it ends
                attempt.thread.add_done_callback(lambda _: on_end(attempt))

    def abandon_later(self, attempt: Attempt) -> None:
        """Settle a stopped attempt after the grace period, even if its handler still runs."""
        self._deadlines.add(self._cancel_grace, lambda: self._abandon(attempt))

    def close(self) -> None:
        """Remove all deadlines."""
        self._deadlines.close()

    def _abandon(self, attempt: Attempt) -> None:
        if attempt.resolved:
            return
        lease = attempt.lease
        _logger.warning(
            "the handler of %s (job %s) is still running after it was asked to stop; it keeps its "
            "slot",
            lease.name,
            lease.id,
        )
        attempt.resolve(_after_stop(attempt, Released(), still_running=True))

    def _refusal(self, attempt: Attempt) -> Outcome | None:
        """Return the outcome of a job that must not run; None if it may run."""
        lease = attempt.lease
        if attempt.stopped is not None:
            return Released()
        if lease.deferred_failure is not None:
            return Discarded(error_of(lease, _deferred_kind(lease), lease.deferred_failure))
        ttl = attempt.options.ttl_ms
        if ttl is not None and lease.started_ms > lease.created_ms + ttl:
            late = (lease.started_ms - lease.created_ms - ttl) / 1000
            message = f"it could not start within {ttl / 1000:g} s; it was {late:.3f} s late"
            return Discarded(error_of(lease, ErrorKind.EXPIRED, message))
        return None

    async def _perform(self, attempt: Attempt, routes: Routes) -> Outcome:
        lease = attempt.lease
        handler = routes.find(lease)
        if handler is None:
            return self._unhandled.outcome(lease, routes)
        if has_claim(lease.data):
            try:
                lease = await self._with_payload(attempt, routes.payloads)
            except PayloadLostError as error:  # another attempt would not find it either
                return Discarded(error_of(lease, ErrorKind.PAYLOAD_LOST, str(error)))
        context = JobContext(lease, self._reports, attempt.is_stopped)
        set_current_job(context)
        if self._middleware:
            call = partial(self._call, attempt, handler, context, routes.max_result)
            result = await wrap(self._middleware, context, call)()
            if attempt in self._not_started:  # middleware has caught it, and there is no result
                raise self._not_started[attempt]
        elif handler.is_plain and attempt.options.timeout_ms is None:
            result = await handler.call(context)  # the fast path, which most jobs take
        else:
            result = await self._call(attempt, handler, context, routes.max_result)
        return of_result(lease, result, routes.max_result)

    async def _with_payload(self, attempt: Attempt, store: PayloadStore | None) -> Lease:
        """Return the lease with the payload in place of its claim.

        The job's timeout applies to reading the payload, and again to the handler.
        """
        self._set_deadline(attempt)
        try:
            data = await self._from_thread(attempt, partial(redeem, attempt.lease.data, store))
        except StoreUnavailableError as error:
            if (advice := advice_on(error.__cause__)) is None:
                raise
            self._not_started[attempt] = NotStartedError(advice)
            raise self._not_started[attempt] from error
        self._discard_deadline(attempt)
        return replace(attempt.lease, data=data)

    async def _call(
        self, attempt: Attempt, handler: Handler, context: JobContext, max_result: int
    ) -> Any:
        self._not_started.pop(attempt, None)  # middleware may call a handler again
        async with handler.limit or _NO_LIMIT:
            if handler.run_in == "process":
                return await self._in_process(attempt, handler, context.lease, max_result)
            self._set_deadline(attempt)
            if handler.run_in == "thread":
                return await self._in_thread(attempt, handler, context)
            return await handler.call(context)

    async def _in_process(
        self, attempt: Attempt, handler: Handler, lease: Lease, max_result: int
    ) -> Any:
        await self._processes.acquire()
        try:
            request = Run(handler.reference(), lease, handler.arguments is None, max_result)
            on_ready = partial(self._set_deadline, attempt)
            outcome = await self._processes.run(request, self._reports, on_ready)
        except NotStartedError as error:
            self._not_started[attempt] = error
            raise
        finally:
            self._processes.release()
        if isinstance(outcome, Succeeded):
            return None if outcome.result_json is None else codec.decode(outcome.result_json)
        raise _EndedInProcessError(outcome)

    async def _in_thread(self, attempt: Attempt, handler: Handler, context: JobContext) -> Any:
        variables = contextvars.copy_context()

        def run() -> Any:
            try:
                return variables.run(handler.call, context)
            except (StopIteration, CancelledError, asyncio.CancelledError) as error:
                # A future cannot hold StopIteration, and treats the others as its own cancellation.
                raise RuntimeError(f"the handler raised {description_of(error)}") from error

        result = await self._from_thread(attempt, run)
        if inspect.isawaitable(result):
            return await result
        return result

    async def _from_thread(self, attempt: Attempt, call: Callable[[], T]) -> T:
        """Run a call in a thread and return its result; it keeps the slot until it ends."""
        try:
            submitted = self._threads.submit(call)
        except NotStartedError as error:
            self._not_started[attempt] = error
            raise
        thread: asyncio.Future[T] = asyncio.wrap_future(submitted)
        attempt.thread = thread
        thread.add_done_callback(_retrieve_error)
        result = await asyncio.shield(thread)
        attempt.thread = None
        return result

    def _set_deadline(self, attempt: Attempt) -> None:
        timeout_ms = attempt.options.timeout_ms
        if timeout_ms is not None:
            attempt.deadline = self._deadlines.add(
                timeout_ms / 1000, lambda: self._on_timeout(attempt)
            )

    def _discard_deadline(self, attempt: Attempt) -> None:
        if attempt.deadline is not None:
            self._deadlines.discard(attempt.deadline)
            attempt.deadline = None

    def _on_timeout(self, attempt: Attempt) -> None:
        attempt.stop(Stop.TIMEOUT)
        self.abandon_later(attempt)

    def _interrupted(self, attempt: Attempt, error: asyncio.CancelledError) -> Outcome:
        self._not_started.pop(attempt, None)
        if attempt.stopped is None:  # the handler cancelled itself
            return Errored(error_from(attempt.lease, error))
        return Released()

    def _raised(self, attempt: Attempt, error: BaseException) -> Outcome:
        not_started = self._not_started.pop(attempt, None)
        if not_started is not None:  # whatever middleware has made of it
            self._shortage.noticed(not_started)
            return Released()
        if type(error) is _EndedInProcessError:
            return error.outcome
        if type(error) is ProcessDiedError:
            return Errored(error_of(attempt.lease, ErrorKind.PROCESS_DIED, str(error)))
        return of_error(attempt.lease, error)


def _retrieve_error(thread: asyncio.Future[Any]) -> None:
    """Retrieve a thread's error, so that asyncio does not warn if nobody awaits it any more."""
    if not thread.cancelled():
        thread.exception()


def _deferred_kind(lease: Lease) -> str:
    match lease.deferred_failure:
        case reason if reason == CANCEL_REASON:
            return ErrorKind.CANCELLED
        case reason if reason == STALL_REASON:
            return ErrorKind.STALLED
        case _:
            return ErrorKind.UNRECOVERABLE


def _after_stop(attempt: Attempt, outcome: Outcome, *, still_running: bool) -> Outcome:
    """Return an attempt's outcome, taking into account why it was stopped, if it was."""
    if attempt.stopped is None:
        return outcome
    lease = attempt.lease
    match attempt.stopped:
        case Stop.SHUTDOWN:
            # A job that succeeded anyway must not run again.
            return outcome if isinstance(outcome, Succeeded) else Released()
        case Stop.LEASE_LOST:
            return Forfeited()
        case Stop.CANCEL:
            return Discarded(error_of(lease, ErrorKind.CANCELLED, CANCEL_REASON))
        case Stop.TIMEOUT:
            return Errored(_timed_out(attempt, still_running=still_running))


def _timed_out(attempt: Attempt, *, still_running: bool) -> AttemptError:
    seconds = (attempt.options.timeout_ms or 0) / 1000
    message = f"it did not finish within {seconds:g} s"
    if still_running:
        message += " and is still running, because it could not be stopped"
    return error_of(attempt.lease, ErrorKind.TIMEOUT, message)
