"""Payload stores: they keep payloads that are too large for their jobs."""

from toril.payloads.store import PayloadStore, open_payload_store, redeem

__all__ = ["PayloadStore", "open_payload_store", "redeem"]
