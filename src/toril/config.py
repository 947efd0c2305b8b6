"""Settings from environment variables. No other module reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from toril.errors import ConfigurationError
from toril.model.claim import DEFAULT_MAX_BYTES, DEFAULT_THRESHOLD
from toril.model.job import DEFAULT_PREFIX

DEFAULT_URL = "sqlite:///toril.db"
DEFAULT_CONCURRENCY = 10


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings read from the environment.

    Attributes:
        url: The store's URL.
        prefix: The prefix of queues that do not set one: the bounded context they belong to.
        concurrency: How many jobs a worker runs at once.
        remove_on_complete: How many completed jobs a queue keeps; None keeps all.
        remove_on_fail: How many failed jobs a queue keeps; None keeps all.
        log_level: The command line's log level: "debug", "info", "warning" or "error".
        payload_store: Where large payloads are kept; None keeps them in their jobs.
        payload_threshold: The largest payload that stays in its job even so, in bytes.
        payload_max_bytes: The largest payload that the payload store accepts, in bytes.
        production: Refuse a store that is configured to discard jobs, instead of logging a
            warning, or that forgets jobs when its server ends.
        allow_volatile: Accept a store that forgets jobs when its server ends, even in production.
    """

    url: str = DEFAULT_URL
    prefix: str = DEFAULT_PREFIX
    concurrency: int = DEFAULT_CONCURRENCY
    remove_on_complete: int | None = None
    remove_on_fail: int | None = None
    log_level: str = "info"
    payload_store: str | None = None
    payload_threshold: int = DEFAULT_THRESHOLD
    payload_max_bytes: int = DEFAULT_MAX_BYTES
    production: bool = False
    allow_volatile: bool = False

    def __repr__(self) -> str:
        """Return all settings but the URLs, which may contain passwords."""
        shown = {
            name: "…" if name in _URLS and getattr(self, name) else getattr(self, name)
            for name in self.__struct_fields__
        }
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings.

        The URL comes from `TORIL_URL`, else from `REDIS_HOST`, `REDIS_PORT`,
        `REDIS_PASSWORD` and `REDIS_DB`, else it names a file in the current folder.
        `WORKER_CONCURRENCY` takes precedence over `QUEUE_CONCURRENCY`.

        Args:
            environment: The variables; defaults to the process's environment.

        Raises:
            ConfigurationError: A variable has an invalid value; the message names the variable.
        """
        env = os.environ if environment is None else environment
        level = (env.get("LOG_LEVEL") or "info").lower()
        if level not in _LEVELS:
            raise ConfigurationError(
                f"LOG_LEVEL must be one of {', '.join(_LEVELS)}, not {level!r}"
            )
        return cls(
            url=env.get("TORIL_URL") or _redis_url(env) or DEFAULT_URL,
            prefix=env.get("TORIL_PREFIX") or DEFAULT_PREFIX,
            concurrency=_number(env, "WORKER_CONCURRENCY", 1)
            or _number(env, "QUEUE_CONCURRENCY", 1)
            or DEFAULT_CONCURRENCY,
            remove_on_complete=_number(env, "QUEUE_REMOVE_ON_COMPLETE", 0),
            remove_on_fail=_number(env, "QUEUE_REMOVE_ON_FAIL", 0),
            log_level=level,
            payload_store=env.get("TORIL_PAYLOAD_STORE") or None,
            payload_threshold=_number(env, "TORIL_PAYLOAD_THRESHOLD", 1) or DEFAULT_THRESHOLD,
            payload_max_bytes=_number(env, "TORIL_PAYLOAD_MAX_BYTES", 1) or DEFAULT_MAX_BYTES,
            production=env.get("TORIL_ENV") == "production",
            allow_volatile=_flag(env, "TORIL_ALLOW_VOLATILE"),
        )

    @property
    def default_job_options(self) -> dict[str, Any]:
        """Default job options, for queues that do not set their own."""
        found = {
            "remove_on_complete": self.remove_on_complete,
            "remove_on_fail": self.remove_on_fail,
        }
        return {name: value for name, value in found.items() if value is not None}


_URLS = ("url", "payload_store")
_LAST_PORT = 65_535
_LEVELS = ("debug", "info", "warning", "error")


def _redis_url(env: Mapping[str, str]) -> str | None:
    host = env.get("REDIS_HOST")
    if not host:
        return None
    port = _number(env, "REDIS_PORT", 1) or 6379
    if port > _LAST_PORT:
        raise ConfigurationError(
            f"REDIS_PORT must be an integer from 1 to {_LAST_PORT}, not {port}"
        )
    if ":" in host:  # an IPv6 address
        host = f"[{host}]"
    database = _number(env, "REDIS_DB", 0) or 0
    password = env.get("REDIS_PASSWORD")
    login = f":{quote(password, safe='')}@" if password else ""
    return f"redis://{login}{host}:{port}/{database}"


def _number(env: Mapping[str, str], name: str, least: int) -> int | None:
    text = env.get(name)
    if not text:
        return None
    if not text.isdecimal() or int(text) < least:
        raise ConfigurationError(f"{name} must be an integer ≥ {least}, not {text!r}")
    return int(text)


_FLAGS = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


def _flag(env: Mapping[str, str], name: str) -> bool:
    text = env.get(name) or ""
    if text.lower() not in _FLAGS:
        raise ConfigurationError(f"{name} must be 1 or 0, not {text!r}")
    return _FLAGS[text.lower()]
