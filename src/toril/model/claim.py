"""What a job carries in place of a large payload: a claim on one that is kept elsewhere."""

from __future__ import annotations

from typing import Annotated

import msgspec

KEY = "$payload"
DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"

DEFAULT_THRESHOLD = 256 << 10
"""The largest payload that travels with its job, where there is a store of payloads: 256 KiB."""

DEFAULT_MAX_BYTES = 256 << 20
"""The largest payload that goes to a store of payloads, unless another is allowed: 256 MiB."""

BEGINNING = f'{{"{KEY}":'
"""What the data, as JSON, of a job with a claim begin with."""


class Claim(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Which payload it is. All of it is checked when it is read, for it may come from anyone.

    Attributes:
        day: When the payload was written, as a date in UTC.
        sha256: The hash of its JSON.
        bytes: The length of its JSON.
    """

    day: Annotated[str, msgspec.Meta(pattern=rf"\A{DAY}\Z")]
    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    bytes: Annotated[int, msgspec.Meta(ge=1)]

    @property
    def path(self) -> str:
        """Where it is, below the root of its store."""
        return f"{self.day}/{self.sha256[:2]}/{self.sha256}"


class _Data(msgspec.Struct, forbid_unknown_fields=True):
    claim: Claim = msgspec.field(name=KEY)


_decoder = msgspec.json.Decoder(_Data)


def has_claim(data: str) -> bool:
    """Whether a job's data, as JSON, begin as those do that carry a claim."""
    return data.startswith(BEGINNING)


def encode_claim(claim: Claim) -> str:
    """Return the data, as JSON, of a job that carries a claim."""
    return msgspec.json.encode(_Data(claim)).decode()


def decode_claim(data: str) -> Claim:
    """Return the claim that a job carries.

    Raises:
        ValueError: It is not exactly one.
    """
    return _decoder.decode(data).claim
