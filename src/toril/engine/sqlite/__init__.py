"""The embedded engine: queues in one SQLite file, or in memory."""

from toril.engine.sqlite.engine import SqliteEngine

__all__ = ["SqliteEngine"]
