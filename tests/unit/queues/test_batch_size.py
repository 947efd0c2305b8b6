"""How many jobs one call may add."""

import pytest

from toril import JobOptions, ValidationError
from toril.engine.contract.rules import MAX_BATCH, MAX_BATCH_BYTES
from toril.model.job import NewJob
from toril.queues.batch_size import check_batch, chunks_of

PLAIN = JobOptions()
TAGGED = JobOptions.of({"tags": ["a", "b", "c", "d"]})


def jobs(n, options=PLAIN, data="{}"):
    return [NewJob(str(i), "n", data, options, "{}") for i in range(n)]


def test_as_many_jobs_as_allowed_fit():
    check_batch(jobs(MAX_BATCH))
    check_batch(jobs(MAX_BATCH // 5, TAGGED))
    check_batch(jobs(2, data="x" * (MAX_BATCH_BYTES // 2)))


@pytest.mark.parametrize(
    ("too_many", "sentence"),
    [
        (jobs(MAX_BATCH + 1), "5,001 jobs are more than the 5,000"),
        (jobs(1_001, TAGGED), "1,001 jobs with 4,004 tags are more than"),
        (jobs(2, data="x" * (MAX_BATCH_BYTES // 2 + 1)), "16,777,218 bytes of payloads"),
        (jobs(2, data="ü" * (MAX_BATCH_BYTES // 4 + 1)), "16,777,220 bytes of payloads"),
    ],
    ids=["jobs", "tags", "bytes", "letters of two bytes"],
)
def test_more_are_refused_with_the_way_to_add_them(too_many, sentence):
    with pytest.raises(ValidationError, match=sentence) as caught:
        check_batch(too_many)
    assert caught.value.field == "jobs"
    assert "chunked=True" in str(caught.value)


@pytest.mark.parametrize("options", [PLAIN, TAGGED], ids=["plain", "tagged"])
@pytest.mark.parametrize("data", ["{}", "x" * (3 << 20)], ids=["small", "large"])
@pytest.mark.parametrize("n", [0, 1, 7, 2_500])
def test_chunks_hold_all_jobs_in_order_and_each_fits(options, data, n):
    some = jobs(n if len(data) < 10 else min(n, 7), options, data)
    chunks = list(chunks_of(some))

    assert [job for chunk in chunks for job in chunk] == some
    assert all(chunks)
    for chunk in chunks:
        check_batch(chunk)
