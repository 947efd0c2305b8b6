"""The Redis engine: jobs in Redis, in BullMQ's data layout."""

from toril.engine.redis.engine import RedisEngine

__all__ = ["RedisEngine"]
