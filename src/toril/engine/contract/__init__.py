"""The engine contract: how jobs move between states, a batch in every call.

An engine is the only code that talks to a store. Every operation that changes state is one
atomic call: it happens as a whole or not at all. No connection, transaction or cursor is
visible from outside, so a call can be a Redis script as well as a SQLite transaction. The
store's clock is the engine's clock. Times are milliseconds since 1970 (UTC). Only `drain`,
`clean`, `obliterate` and `clear_limits` may take several calls, so that a million jobs never
block other callers.

The hot path is on the engine itself (`engine.py`, `hot_path.py`). The rest is in parts, one
file each: `engine.queues`, `engine.jobs`, `engine.events`, `engine.schedules`.

`queues.register`, `add`, `exchange` and `schedules.upsert` create a queue that does not exist.
For a queue that does not exist, `jobs.get`, `jobs.logs`, `jobs.endings`, `events.read`,
`queues.info`, `queues.overview`, `queues.sweep`, `note`, `rescue` and `extend` return nothing;
every other operation raises `NotFoundError`.

tests/conformance checks every engine against each rule stated here.
"""
