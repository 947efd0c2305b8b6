import pytest
from hypothesis import given
from hypothesis import strategies as st

from toril.engine.contract.metrics import MetricsWindow
from toril.engine.contract.queues import QueueInfo, QueueOverview
from toril.model.job import QueueRef
from toril.model.state import STORED
from toril.queues.metrics import percentile, summarize

_HISTOGRAMS = st.dictionaries(st.integers(0, 40), st.integers(1, 1000), min_size=1)


def summary(**window):
    counts = {state: place for place, state in enumerate(sorted(STORED))}
    none = dict.fromkeys(("completed", "failed", "retried", "stalled", "duration_ms_sum"), 0)
    return summarize(
        QueueOverview(
            QueueInfo(QueueRef("bull", "q"), paused=True),
            counts,
            MetricsWindow(**{"seconds": 60.0, "histogram": {}, **none, **window}),
        )
    )


def test_a_queue_that_did_nothing_has_rates_of_zero_and_no_durations():
    quiet = summary()

    assert (quiet.throughput, quiet.error_rate) == (0, 0)
    assert (quiet.mean_ms, quiet.p50_ms, quiet.p95_ms, quiet.p99_ms) == (None,) * 4


def test_rates_are_of_jobs_that_ended_and_the_mean_is_of_attempts():
    busy = summary(
        completed=90, failed=30, retried=30, duration_ms_sum=1500, histogram={4: 100, 5: 50}
    )

    assert (busy.throughput, busy.error_rate) == (2, 0.25)
    assert busy.mean_ms == 10


def test_each_state_has_its_own_count():
    counts = summary()

    found = {state: getattr(counts, state.replace("-", "_")) for state in STORED}
    assert found == {state: place for place, state in enumerate(sorted(STORED))}
    assert counts.ready == counts.waiting + counts.prioritized
    assert (counts.queue, counts.prefix, counts.paused) == ("q", "bull", True)


@pytest.mark.parametrize(
    ("histogram", "share", "low", "high"),
    [
        ({4: 100}, 0.5, 8, 16),
        ({1: 99, 11: 1}, 0.5, 1, 2),
        ({1: 98, 11: 2}, 0.99, 1024, 2048),
        ({0: 10}, 0.99, 0, 1),
    ],
    ids=str,
)
def test_a_percentile_is_right_to_within_its_bucket(histogram, share, low, high):
    assert low <= percentile(histogram, share) <= high


@given(_HISTOGRAMS, st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_larger_share_never_has_a_smaller_percentile(histogram, one, other):
    low, high = sorted([one, other])

    assert percentile(histogram, low) <= percentile(histogram, high) + 1e-6


@given(_HISTOGRAMS, st.floats(0, 1))
def test_there_is_a_percentile_of_every_share(histogram, share):
    found = percentile(histogram, share)

    assert found is None if share == 0 else 0 <= found <= 2 ** max(histogram)


def test_without_attempts_there_is_no_percentile():
    assert percentile({}, 0.5) is None
