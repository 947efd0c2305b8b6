"""The benchmark's Redis, as the Python peers are told of it."""

from benchmarks.redis_server import HOST

QUEUE = "bench"


def url(port: int | None) -> str:
    """Where the server is."""
    return f"redis://{HOST}:{port}/0"
