from hypothesis import given
from hypothesis import strategies as st

from toril.model.job import AttemptError
from toril.model.job_options import JobOptions
from toril.model.options import Backoff
from toril.worker.retry_delay import RetryDelays

_DELAYS = st.integers(0, 2**53)
_MADE = st.integers(1, 10**6)
_CAPS = st.none() | st.integers(0, 2**53)
_SHARES = st.floats(0, 1)


def test_a_fixed_backoff_waits_the_same_time_before_each_attempt():
    assert [Backoff.fixed(2).delay_for(made) for made in (1, 2, 10)] == [2000, 2000, 2000]


def test_an_exponential_backoff_doubles():
    delays = [Backoff.exponential(1).delay_for(made) for made in range(1, 6)]

    assert delays == [1000, 2000, 4000, 8000, 16000]


def test_no_delay_is_longer_than_the_cap():
    delays = [Backoff.exponential(1, cap=5).delay_for(made) for made in range(1, 6)]

    assert delays == [1000, 2000, 4000, 5000, 5000]


@given(_DELAYS, _CAPS, _SHARES, _MADE)
def test_a_delay_is_a_whole_number_that_any_clock_can_add(delay, cap, jitter, made):
    found = Backoff("exponential", delay, cap, jitter).delay_for(made)

    assert isinstance(found, int)
    assert 0 <= found <= 2**53
    assert cap is None or found <= cap


@given(_DELAYS, _SHARES, _MADE, _SHARES)
def test_jitter_takes_away_at_most_its_share_of_the_delay(delay, jitter, made, draw):
    full = Backoff("exponential", delay).delay_for(made)
    found = Backoff("exponential", delay, jitter=jitter).delay_for(made, draw)

    assert full - full * jitter - 1 <= found <= full


def test_jitter_spreads_jobs_that_failed_together():
    options = JobOptions(backoff=Backoff.fixed(1000, jitter=1))
    error = AttemptError(1, "ValueError", "no")
    delay = RetryDelays({})

    assert len({delay(options, 1, error) for _ in range(20)}) > 1


@given(_DELAYS, _CAPS, st.integers(1, 10_000))
def test_an_exponential_delay_never_shrinks(delay, cap, made):
    backoff = Backoff("exponential", delay, cap)

    assert backoff.delay_for(made) <= backoff.delay_for(made + 1)
