"""Preparing jobs: from what a caller wrote to what the engine stores."""

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
    """Default options of jobs: as they were written, validated, and as they are stored."""

    written: Mapping[str, Any]
    parsed: JobOptions
    as_json: str

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Defaults:
        """Validate default options.

        Raises:
            ValidationError: One is refused.
        """
        parsed = JobOptions.of(written)
        return cls(dict(written), parsed, encode_options(parsed))


_Known: TypeAlias = dict[tuple[str, int], tuple[JobOptions, str, Any]]
"""What was made of options, by the job's name and their identity, which stay alive with it."""


class Preparation:
    """Prepares the jobs of one queue."""

    def __init__(
        self, encode: Callable[[Any], str], defaults_of: Callable[[str], Defaults]
    ) -> None:
        """Prepare.

        Args:
            encode: Returns a payload as JSON.
            defaults_of: Returns the default options of jobs by name.
        """
        self._encode = encode
        self._defaults_of = defaults_of

    def one(self, name: str, data: Any, options: Mapping[str, Any]) -> NewJob:
        """Return a job.

        Args:
            name: What kind of work it is.
            data: The payload: anything JSON.
            options: See `JobOptionArgs`.

        Raises:
            ValidationError: Something is refused; the error names the field.
        """
        check_text(name, "name")
        parsed, as_json = self._options(name, options)
        return NewJob(parsed.job_id or new_id(), name, self._encode(data), parsed, as_json)

    def many(self, jobs: Sequence[Mapping[str, Any]]) -> list[NewJob]:
        """Return jobs, each from a mapping with name, data and options.

        Raises:
            ValidationError: One is refused; the error names its place and field.
        """
        prepared: list[NewJob] = []
        known: _Known = {}
        for place, job in enumerate(jobs):
            try:
                prepared.append(self._one_of_many(job, known))
            except ValidationError as error:
                field = f"jobs[{place}].{error.field}".rstrip(".")
                raise ValidationError(field, error.message) from None
        return prepared

    def _one_of_many(self, job: Mapping[str, Any], known: _Known) -> NewJob:
        if type(job) is not dict and not isinstance(job, Mapping):
            raise ValidationError("", f"must be a mapping with name, data and options, not {job!r}")
        if not job.keys() <= _FIELDS:
            unknown = min(job.keys() - _FIELDS)
            raise ValidationError(unknown, "unknown; a job has name, data and options")
        name, options = job.get("name", DEFAULT_NAME), job.get("options")
        try:  # jobs that share a name and a mapping share what is made of them
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
