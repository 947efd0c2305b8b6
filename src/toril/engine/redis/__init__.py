"""Jobs on a Redis server, in BullMQ's data layout."""

from toril.engine.redis.engine import RedisEngine

__all__ = ["RedisEngine"]
