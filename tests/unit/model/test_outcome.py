import pytest

from toril.errors import ValidationError
from toril.model import outcome as outcomes
from toril.model import settlement
from toril.model.job import AttemptError, Lease, QueueRef
from toril.model.job_options import JobOptions, encode_options
from toril.model.options import Backoff, Keep
from toril.model.outcome import (
    Cancel,
    Discarded,
    Errored,
    Forfeited,
    OutcomeSignal,
    Released,
    Retry,
    Snooze,
    Succeeded,
    Unrecoverable,
    from_signal,
    is_signal,
)

_ERROR = AttemptError(1, "ValueError", "broken")


def lease(attempts_made=0, **options):
    return Lease(
        queue=QueueRef("bull", "q"),
        id="id",
        token="w:1",
        name="n",
        data="null",
        options_json=encode_options(JobOptions.of(options)),
        created_ms=0,
        started_ms=0,
        attempts_made=attempts_made,
        attempts_started=attempts_made + 1,
        stalls=0,
        priority=0,
        deferred_failure=None,
    )


def settle(held, outcome, retry_delay):
    return outcomes.settlement_for(held, held.options, outcome, retry_delay)


def never(*_):
    raise AssertionError("nobody may ask for a delay here")


def test_a_success_completes_with_its_result_and_what_is_to_be_kept():
    held = lease(remove_on_complete=5, remove_on_fail=6)

    assert settle(held, Succeeded("1"), never) == settlement.Complete(held, "1", Keep(5))


def test_an_error_with_attempts_left_is_retried_after_the_backoff():
    held = lease(attempts_made=1, attempts=3, backoff=Backoff.fixed(2))
    asked = []

    def delay(options, made, error):
        asked.append((options, made, error))
        return 77

    assert settle(held, Errored(_ERROR), delay) == settlement.Retry(held, _ERROR, 77)
    assert asked == [(held.options, 2, _ERROR)]


def test_an_error_with_a_wait_of_its_own_does_not_ask_for_the_backoff():
    held = lease(attempts=2, backoff=Backoff.fixed(2))

    assert settle(held, Errored(_ERROR, 5), never) == settlement.Retry(held, _ERROR, 5)


def test_a_wait_of_nothing_is_a_wait_of_its_own():
    held = lease(attempts=2, backoff=Backoff.fixed(2))

    assert settle(held, Errored(_ERROR, 0), never) == settlement.Retry(held, _ERROR, 0)


@pytest.mark.parametrize("after_ms", [None, 5])
@pytest.mark.parametrize("made", [2, 3, 99])
def test_the_last_attempts_error_fails_the_job_whatever_wait_it_asks_for(made, after_ms):
    held = lease(attempts_made=made, attempts=3, remove_on_complete=5, remove_on_fail=6)

    assert settle(held, Errored(_ERROR, after_ms), never) == (
        settlement.Fail(held, _ERROR, Keep(6))
    )


@pytest.mark.parametrize("made", [0, 2])
def test_what_ended_fails_whatever_attempts_are_left(made):
    held = lease(attempts_made=made, attempts=3)

    assert settle(held, Discarded(_ERROR), never) == settlement.Fail(held, _ERROR, None)


@pytest.mark.parametrize("made", [0, 2])
def test_what_is_given_back_is_released_and_uses_up_no_attempt(made):
    held = lease(attempts_made=made, attempts=3)

    assert settle(held, Released(9), never) == settlement.Release(held, 9)


def test_of_a_lost_lease_nothing_may_be_written():
    assert settle(lease(), Forfeited(), never) is None


@pytest.mark.parametrize("signal", [Cancel("enough"), Unrecoverable("hopeless")], ids=repr)
def test_a_signal_that_ends_the_job_ends_it(signal):
    assert from_signal(signal, _ERROR) == Discarded(_ERROR)


def test_a_retry_is_an_error_with_a_wait_of_its_own():
    assert from_signal(Retry(after="2s"), _ERROR) == Errored(_ERROR, 2000)


def test_a_snooze_gives_the_job_back_for_a_time():
    assert from_signal(Snooze("2s"), _ERROR) == Released(2000)


def test_a_subclass_of_a_signal_means_the_same():
    class Later(Retry):
        pass

    class Asleep(Snooze):
        pass

    assert from_signal(Later(after=1), _ERROR) == Errored(_ERROR, 1000)
    assert from_signal(Asleep(1), _ERROR) == Released(1000)


def test_a_signal_with_a_time_that_cannot_be_is_refused_where_it_is_made():
    with pytest.raises(ValidationError, match=r"^after: "):
        Retry(after=-1)
    with pytest.raises(ValidationError, match=r"^delay: "):
        Snooze("soon")


def test_signals_say_what_they_are_for():
    assert str(Retry("no quota", after=5)) == "no quota"
    assert str(Retry(after=5)) == "the handler asked for a retry"
    assert str(Cancel()) == "cancelled by its handler"
    assert "snoozed" in str(Snooze(5))


def test_a_signal_may_be_returned_as_well_as_raised():
    assert all(map(is_signal, [Retry(after=1), Snooze(1), Cancel(), Unrecoverable()]))
    assert not any(map(is_signal, [None, 0, Exception(), "Retry", Retry]))


def test_a_signal_of_a_users_own_is_an_error_like_any_other():
    class Unheard(OutcomeSignal):
        pass

    assert outcomes.from_signal(Unheard(), _ERROR) == Errored(_ERROR)
