"""Hash slots: the slot of a key, and the hash tag that keeps a queue's keys in one slot.

Source: Redis cluster specification, "Key distribution model" and "Hash tags".
"""

from __future__ import annotations

from binascii import crc_hqx  # CRC-16/XMODEM, as the specification requires
from functools import lru_cache

from toril.errors import ConfigurationError, UnsupportedError
from toril.model.job import QueueRef

SLOTS = 16_384


def hash_tag(key: str) -> str:
    """Return the part of a key that alone determines its slot; "" if the whole key does."""
    _, _, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    return tag if closed else ""


def slot_of(key: str) -> int:
    """Return a key's hash slot."""
    return crc_hqx((hash_tag(key) or key).encode(), 0) % SLOTS


@lru_cache(maxsize=4096)
def slot_of_queue(queue: QueueRef) -> int:
    """Return the hash slot of all keys of a queue.

    Raises:
        ConfigurationError: The keys are not all in one hash slot.
    """
    # A key's first brace counts, so one in the prefix takes precedence over one in the name.
    text = queue.prefix if "{" in queue.prefix else queue.name
    if not hash_tag(text):
        raise ConfigurationError(
            f"in a cluster, all keys of a queue must be in one hash slot, so its prefix needs a "
            f"hash tag, but {queue.prefix!r} has none: name it {{{queue.prefix}}}, with "
            f'QueueManager(prefix="{{{queue.prefix}}}") or TORIL_PREFIX; in Node.js with '
            f"{{ prefix: '{{{queue.prefix}}}' }}"
        )
    return slot_of(f"{text}:")


def check_same_slot(queue: QueueRef, target: QueueRef) -> None:
    """Check that one script can settle in one queue and add to the other.

    Args:
        queue: The queue of the settlement.
        target: The queue of its follow-ups.

    Raises:
        UnsupportedError: Their keys are in different hash slots.
    """
    if slot_of_queue(queue) != slot_of_queue(target):
        raise UnsupportedError(
            f"a job of queue {str(queue)!r} cannot add one to {str(target)!r} in the same step: "
            "in a cluster, both queues must be in one hash slot. Give them the same hash tag, "
            'for example the prefix "{app}" for both'
        )
