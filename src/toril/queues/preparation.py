"""Prepares jobs: converts what a caller passed to what the engine stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from toril.errors import ValidationError
from toril.model.checks import check_text
from toril.model.ids import new_id
from toril.model.job import DEFAULT_NAME, NewJob
from toril.model.job_options import JobOptions, encode_options

_FIELDS = frozenset({"name", "data", "options"})


class Defaults(NamedTuple):
    """Default options of jobs: as given, validated, and as JSON for the store."""

    written: Mapping[str, Any]
    parsed: JobOptions
    as_json: str

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Defaults:
        """Validate default options.

        Raises:
            ValidationError: An option is not valid.
        """
        parsed = JobOptions.of(written)
        return cls(dict(written), parsed, encode_options(parsed))


_Known: TypeAlias = dict[tuple[str, int], tuple[JobOptions, str, Any]]
"""Caches validated options by job name and the mapping's id.

The mapping itself is kept too, so that its id is not reused.
"""


class Preparation:
    """Prepares the jobs of one queue."""

    def __init__(
        self, encode: Callable[[Any], str], defaults_of: Callable[[str], Defaults]
    ) -> None:
        """Create a preparation.

        Args:
            encode: Encodes a payload as JSON.
            defaults_of: Returns the default options for a job's name.
        """
        self._encode = encode
        self._defaults_of = defaults_of

    def one(self, name: str, data: Any, options: Mapping[str, Any]) -> NewJob:
        """Return a job that can be stored.

        Args:
            name: The job's name.
            data: The payload: any JSON value.
            options: See `JobOptionArgs`.

        Raises:
            ValidationError: An argument is not valid; the error names the field.
        """
        check_text(name, "name")
        parsed, as_json = self._options(name, options)
        return NewJob(parsed.job_id or new_id(), name, self._encode(data), parsed, as_json)

    def many(self, jobs: Sequence[Mapping[str, Any]]) -> list[NewJob]:
        """Return jobs that can be stored, each from a mapping with name, data and options.

        Raises:
            ValidationError: A job is not valid; the error names its index and field.
        """
        prepared: list[NewJob] = []
        known: _Known = {}
        for index, job in enumerate(jobs):
            try:
                prepared.append(self._one_of_many(job, known))
            except ValidationError as error:
                field = f"jobs[{index}].{error.field}".rstrip(".")
                raise ValidationError(field, error.message) from None
        return prepared

    def _one_of_many(self, job: Mapping[str, Any], known: _Known) -> NewJob:
        if type(job) is not dict and not isinstance(job, Mapping):
            raise ValidationError("", f"must be a mapping with name, data and options, not {job!r}")
        if not job.keys() <= _FIELDS:
            unknown = min(job.keys() - _FIELDS)
            raise ValidationError(unknown, "unknown field; a job has name, data and options")
        name, options = job.get("name", DEFAULT_NAME), job.get("options")
        try:  # jobs with the same name and the same options mapping are validated only once
            parsed, as_json, _ = known[name, id(options)]
        except (KeyError, TypeError):
            check_text(name, "name")
            parsed, as_json = self._options(name, options)
            known[name, id(options)] = parsed, as_json, options
        return NewJob(
            parsed.job_id or new_id(), name, self._encode(job.get("data")), parsed, as_json
        )

    def _options(self, name: str, options: Mapping[str, Any] | None) -> tuple[JobOptions, str]:
        defaults = self._defaults_of(name)
        if not options:
            return defaults.parsed, defaults.as_json
        if not isinstance(options, Mapping):
            raise ValidationError("options", f"must be a mapping, not {options!r}")
        parsed = JobOptions.of({**defaults.written, **options})
        return parsed, encode_options(parsed)
