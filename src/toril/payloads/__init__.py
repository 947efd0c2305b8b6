"""Where payloads are kept that are too large to travel with their jobs."""

from toril.payloads.store import PayloadStore, open_payload_store, redeem

__all__ = ["PayloadStore", "open_payload_store", "redeem"]
