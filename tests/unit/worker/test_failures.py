"""Whatever a handler raises can be written down."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toril import Cancel, Retry, Snooze, Unrecoverable
from toril.model.job import Lease, QueueRef
from toril.worker.failures import (
    MAX_MESSAGE,
    MAX_STACK,
    error_from,
    error_of,
    message_of,
    signal_of,
    stack_of,
)

_LEASE = Lease(
    queue=QueueRef("bull", "q"),
    id="id",
    token="w:1",
    name="n",
    data="null",
    options_json="",
    created_ms=0,
    started_ms=0,
    attempts_made=2,
    attempts_started=3,
    stalls=0,
    priority=0,
    deferred_failure=None,
)


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class OddError(Exception):
    def __str__(self):
        return 5  # noqa: PLE0307 - some libraries do


def caught(error):
    try:
        raise error  # noqa: TRY301 - for the traceback
    except BaseException as found:  # noqa: BLE001 - of every kind
        return found


def test_an_error_is_written_down_with_its_attempt_type_message_and_traceback():
    written = error_from(_LEASE, caught(KeyError("x")))

    assert (written.attempt, written.type, written.message) == (3, "KeyError", "'x'")
    assert "in caught" in written.stack
    assert written.stack.endswith("KeyError: 'x'\n")


def test_an_error_without_a_message_is_known_by_its_type():
    assert message_of(ValueError()) == "ValueError"
    assert message_of(asyncio.CancelledError()) == "CancelledError"


@pytest.mark.parametrize("error", [MuteError(), OddError()], ids=lambda e: type(e).__name__)
def test_an_error_that_cannot_say_its_message_hides_nothing(error):
    written = error_from(_LEASE, caught(error))

    assert written.type == type(error).__name__
    assert "could not be read" in written.message
    assert type(error).__name__ in written.stack


def test_of_two_errors_at_once_none_is_lost():
    group = ExceptionGroup("both", [ValueError("one"), ExceptionGroup("in", [KeyError("two")])])

    assert message_of(group) == "2 errors at once: ValueError: one; KeyError: 'two'"


def test_a_member_of_a_group_that_cannot_speak_does_not_silence_the_others():
    message = message_of(ExceptionGroup("both", [MuteError(), ValueError("heard")]))

    assert "MuteError: <the message could not be read" in message
    assert "ValueError: heard" in message


def test_what_an_error_came_from_stands_in_its_traceback():
    error = ValueError("outer")
    error.__cause__ = KeyError("inner")

    assert "KeyError: 'inner'" in stack_of(caught(error))


def test_a_lone_surrogate_is_replaced_as_no_store_takes_it():
    written = error_from(_LEASE, caught(ValueError("bad \ud800 name")))

    assert written.message == "bad ? name"
    written.stack.encode()


def test_of_a_long_message_the_end_is_cut_off_and_of_a_long_traceback_the_beginning():
    written = error_of(_LEASE, "E", "a" + "b" * MAX_MESSAGE, "c" * MAX_STACK + "d")

    assert (len(written.message), len(written.stack)) == (MAX_MESSAGE, MAX_STACK)
    assert written.message.startswith("a")
    assert written.message.endswith("…")
    assert written.stack.startswith("…")
    assert written.stack.endswith("d")


def test_a_group_of_many_long_errors_is_cut_like_one():
    group = ExceptionGroup("many", [ValueError("x" * 10_000) for _ in range(5_000)])

    assert message_of(group).startswith("5000 errors at once: ValueError: xxx")
    assert len(message_of(group)) < 3 * MAX_MESSAGE


def test_a_long_type_is_cut():
    written = error_from(_LEASE, type("E" * 5_000, (Exception,), {})("x"))

    assert len(written.type) == 200
    assert written.type.endswith("E…")


@given(st.text(st.characters()))
def test_any_message_can_be_written_down(text):
    written = error_from(_LEASE, caught(ValueError(text)))

    assert len(written.message) <= MAX_MESSAGE
    written.message.encode()


def test_an_ordinary_error_asks_for_nothing():
    assert signal_of(ValueError("x")) is None
    assert signal_of(ExceptionGroup("g", [ValueError("x")])) is None


@pytest.mark.parametrize(
    "signal",
    [Retry(after=1), Snooze(1), Cancel(), Unrecoverable("x")],
    ids=lambda s: type(s).__name__,
)
def test_a_signal_is_heard_alone_and_among_other_errors(signal):
    assert signal_of(signal) is signal
    assert signal_of(ExceptionGroup("g", [ValueError("x"), signal])) is signal


def test_of_several_signals_the_one_that_ends_the_job_counts():
    last = Unrecoverable("x")

    assert signal_of(ExceptionGroup("g", [Retry(after=1), Snooze(1), last])) is last
