import inspect
import pickle

import pytest

from toril import errors
from toril.errors import (
    JobFailedError,
    NotFoundError,
    ResultTimeoutError,
    StoreBusyError,
    TorilError,
    ValidationError,
    did_you_mean,
)

_ALL = [e for _, e in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("error", _ALL, ids=lambda e: e.__name__)
def test_every_error_has_the_one_root(error):
    assert issubclass(error, TorilError)


@pytest.mark.parametrize("error", _ALL, ids=lambda e: e.__name__)
def test_the_tree_at_the_top_of_the_file_shows_every_error(error):
    assert error.__name__ in errors.__doc__


def test_errors_are_also_what_python_calls_them():
    assert issubclass(ValidationError, ValueError)
    assert issubclass(NotFoundError, LookupError)
    assert issubclass(StoreBusyError, TimeoutError)
    assert issubclass(ResultTimeoutError, TimeoutError)


def test_a_validation_error_says_its_field_first_and_keeps_it_apart():
    error = ValidationError("attempts", "0 is too few")

    assert str(error) == "attempts: 0 is too few"
    assert error.field == "attempts"


def test_a_failed_jobs_error_says_of_what():
    error = JobFailedError("id", "KeyError", "'x'")

    assert str(error) == "job id failed: KeyError: 'x'"
    assert (error.job_id, error.error_type, error.reason) == ("id", "KeyError", "'x'")


@pytest.mark.parametrize(
    "error",
    [
        ValidationError("attempts", "0 is too few"),
        JobFailedError("id", "KeyError", "'x'"),
        ResultTimeoutError("id", "too late"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_an_error_can_cross_to_another_process(error):
    again = pickle.loads(pickle.dumps(error))

    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_misspelt_word_is_answered_with_the_near_one():
    assert did_you_mean("emial", ["email", "report"]) == "did you mean 'email'?"


def test_a_strange_word_is_answered_with_all_that_there_are():
    assert did_you_mean("xyzzy", ["report", "email"]) == "known: email, report"


def test_where_there_is_nothing_that_is_the_answer():
    assert did_you_mean("xyzzy", []) == "there are none yet"


def test_a_validation_error_quotes_a_long_value_only_in_part():
    error = ValidationError("tags", f"must be short, not {'x' * 1_000_000}; shorten it")

    assert len(str(error)) < 2_100
    assert str(error).startswith("tags: must be short, not xxx")
    assert str(error).endswith("xxx; shorten it")


def test_a_long_word_is_not_compared_with_known_ones():
    assert did_you_mean("x" * 1_000_000, ["mail"]) == "known: mail"
