"""Signal handling: the first signal asks a worker to finish, the second to stop at once."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def on_signals(first: Callable[[], None], second: Callable[[], None]) -> Iterator[None]:
    """Call functions on SIGTERM and SIGINT while the block runs.

    Does nothing outside the main thread, which is the only one that receives signals.

    Args:
        first: Called on the first signal.
        second: Called on each further signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    received = False

    def handle() -> None:
        nonlocal received
        is_repeated, received = received, True
        (second if is_repeated else first)()

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        loop.add_signal_handler(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
