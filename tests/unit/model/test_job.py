from datetime import UTC, datetime

from toril.model.job import AttemptError, Job, QueueRef
from toril.model.job_options import JobOptions
from toril.model.state import JobState


def job(**fields):
    known = {
        "queue": QueueRef("bull", "q"),
        "id": "id",
        "name": "n",
        "data_json": '{"a":[1]}',
        "options": JobOptions(),
        "state": JobState.WAITING,
        "priority": 0,
        "created_ms": 1000,
    }
    return Job(**{**known, **fields})


def test_a_queue_of_the_usual_prefix_is_known_by_its_name_alone():
    assert str(QueueRef("bull", "emails")) == "emails"
    assert str(QueueRef("billing", "emails")) == "billing:emails"


def test_a_job_shows_its_json_as_values():
    shown = job(result_json="[1]", progress_json="50")

    assert (shown.data, shown.result, shown.progress) == ({"a": [1]}, [1], 50)


def test_a_job_that_has_not_run_has_no_result_and_no_progress():
    assert (job().result, job().progress, job().failed_reason) == (None, None, None)


def test_times_are_datetimes_in_utc_or_nothing():
    shown = job(due_ms=2000, started_ms=3000, finished_ms=4000)

    assert shown.created_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert [t.second for t in (shown.due_at, shown.started_at, shown.finished_at)] == [2, 3, 4]
    assert (job().due_at, job().started_at, job().finished_at) == (None, None, None)


def test_only_a_failed_job_has_a_reason_and_it_is_the_last_errors():
    errors = (AttemptError(1, "ValueError", "first"), AttemptError(2, "KeyError", "last"))

    assert job(state=JobState.FAILED, errors=errors).failed_reason == "last"
    assert job(state=JobState.DELAYED, errors=errors).failed_reason is None
