"""Registering queues: their rows, with the limits that this process registered.

A queue can be removed while programs use it: by `obliterate`, from any process, or with a store in
memory. The row that the next call makes gets the limits in the same transaction. So no job starts
without them.
"""

from __future__ import annotations

from toril.engine.contract.rules import limits_by_other_field
from toril.engine.sqlite import keyed_lanes, queue_rows
from toril.engine.sqlite.queue_rows import QueueRow
from toril.engine.sqlite.storage.transaction import Registered, Transaction
from toril.errors import ConflictError
from toril.model.job import QueueRef
from toril.model.limits import NO_LIMITS, Limits
from toril.printable import logger

_logger = logger("toril.engine")


def present(tx: Transaction, queue: QueueRef) -> QueueRow:
    """Return a queue's row, creating it if it does not exist, with the registered limits."""
    q = queue_rows.make(tx, queue)
    known = tx.registered.get(queue)
    if known is None or known.row == q.id:
        return q
    _logger.warning("queue %s was removed meanwhile; its limits are set again", queue)
    try:
        return register(tx, queue, known.limits, lasting=True)
    except ConflictError as error:
        _logger.error("%s", error)  # noqa: TRY400 - no traceback: not a bug in Toril
        return q


def register(
    tx: Transaction, queue: QueueRef, limits: Limits, *, lasting: bool = False
) -> QueueRow:
    """Return a queue's row with new limits; a limit that is None is left unchanged.

    For a queue that was removed, what was registered before is forgotten.

    Raises:
        ConflictError: The queue has limits keyed by a different field.
    """
    q = queue_rows.make(tx, queue)
    known = tx.registered.get(queue)
    if known is not None and known.row != q.id:
        known = None
        del tx.registered[queue]
    if limits == NO_LIMITS:
        return q
    by_key = limits.by_key
    if by_key is not None and q.key_field not in {None, by_key.field}:
        raise limits_by_other_field(queue, str(q.key_field), by_key.field)
    queue_rows.limit(tx, q, limits)
    q = queue_rows.require(tx, queue)
    if by_key is not None:
        keyed_lanes.assign_all(tx, q, by_key)
    if lasting:
        merged = limits if known is None else limits.over(known.limits)
        tx.registered[queue] = Registered(merged, q.id)
    tx.work.add(queue)
    return q


def clear(tx: Transaction, queue: QueueRef) -> None:
    """Remove a queue's limits, and forget those that this process registered.

    Raises:
        NotFoundError: The queue does not exist.
    """
    q = queue_rows.require(tx, queue)
    tx.registered.pop(queue, None)
    queue_rows.clear_limits(tx, q)
    keyed_lanes.leave(tx, q)
    tx.work.add(queue)
