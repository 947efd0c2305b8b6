"""Claims: the references that jobs carry instead of large payloads."""

from __future__ import annotations

from typing import Annotated

import msgspec

KEY = "$payload"
DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"

DEFAULT_THRESHOLD = 256 << 10
"""The largest payload that stays in its job when a payload store is set: 256 KiB."""

DEFAULT_MAX_BYTES = 256 << 20
"""The default size limit for payloads in a payload store: 256 MiB."""

BEGINNING = f'{{"{KEY}":'
"""How the JSON data of a job with a claim begins."""


class Claim(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Identifies a payload. Every field is validated on reading, because any program may write it.

    Attributes:
        day: The UTC date on which the payload was written.
        sha256: The hash of the payload's JSON.
        bytes: The length of the payload's JSON.
    """

    day: Annotated[str, msgspec.Meta(pattern=rf"\A{DAY}\Z")]
    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    bytes: Annotated[int, msgspec.Meta(ge=1)]

    @property
    def path(self) -> str:
        """The payload's path, relative to the root of the payload store."""
        return f"{self.day}/{self.sha256[:2]}/{self.sha256}"


class _Data(msgspec.Struct, forbid_unknown_fields=True):
    claim: Claim = msgspec.field(name=KEY)


_decoder = msgspec.json.Decoder(_Data)


def has_claim(data: str) -> bool:
    """Return whether a job's JSON data begins like a claim."""
    return data.startswith(BEGINNING)


def encode_claim(claim: Claim) -> str:
    """Return the JSON data of a job that carries this claim."""
    return msgspec.json.encode(_Data(claim)).decode()


def decode_claim(data: str) -> Claim:
    """Return the claim that a job carries.

    Args:
        data: The job's data as JSON.

    Raises:
        ValueError: The data is not a valid claim.
    """
    return _decoder.decode(data).claim
