"""Scripts rely on the exit codes: every error of the library has one on purpose."""

import click
import pytest

from toril import errors
from toril.cli.exits import Exit, code_of

CODES = {
    errors.ConfigurationError: Exit.USAGE,
    errors.ValidationError: Exit.USAGE,
    errors.UnsupportedError: Exit.USAGE,
    errors.NotFoundError: Exit.NOT_FOUND,
    errors.ConflictError: Exit.CONFLICT,
    errors.EngineError: Exit.FAILED,
    errors.StoreUnavailableError: Exit.UNREACHABLE,
    errors.StoreBusyError: Exit.TIMEOUT,
    errors.StoreFullError: Exit.FAILED,
    errors.StoreReadOnlyError: Exit.AUTH,
    errors.StoreRejectedError: Exit.FAILED,
    errors.PartlyAddedError: Exit.PARTLY,
    errors.StoreCorruptError: Exit.FAILED,
    errors.StoreVersionError: Exit.FAILED,
    errors.PayloadLostError: Exit.FAILED,
    errors.JobError: Exit.FAILED,
    errors.JobFailedError: Exit.FAILED,
    errors.JobCancelledError: Exit.FAILED,
    errors.JobRemovedError: Exit.FAILED,
    errors.ResultTimeoutError: Exit.TIMEOUT,
    errors.TorilError: Exit.FAILED,
}


def made(kind):
    """Return an error of a kind without what its constructor asks for."""
    return kind.__new__(kind)


@pytest.mark.parametrize(("kind", "code"), CODES.items(), ids=lambda v: getattr(v, "__name__", ""))
def test_an_error_has_its_code(kind, code):
    assert code_of(made(kind)) is code


def test_every_error_of_the_library_is_in_the_table():
    kinds = {v for v in vars(errors).values() if isinstance(v, type)}
    assert kinds == set(CODES)


def test_errors_of_the_system_have_codes_too():
    assert code_of(PermissionError()) is Exit.AUTH
    assert code_of(OSError()) is Exit.FAILED
    assert code_of(click.UsageError("")) is Exit.USAGE
