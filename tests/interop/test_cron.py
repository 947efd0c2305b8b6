"""Cron patterns are due when BullMQ says that they are; docs/adr/0020 tells where not."""

import json
import random
import subprocess
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from toril.errors import ValidationError
from toril.model.cron import cron_of

PROGRAM = Path(__file__).parent / "node" / "cron.mjs"
DRAWN = 1000
TIMES = 5
HOUR = 3_600
BEGIN = round(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
SPAN = 2 * 365 * 24 * HOUR
ZONES = (
    "UTC",
    "America/New_York",
    "America/St_Johns",
    "Asia/Jerusalem",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Europe/Berlin",
    "Pacific/Auckland",
)
"""Where clocks change by a whole hour, and not at midnight: else BullMQ's reader leaves out times
that are due."""

TABLE = (
    "* * * * *",
    "*/20 * * * * *",
    "30 2 * * *",
    "0 30 2 * * *",
    "*/15 2 * * *",
    "0 */2 * * *",
    "30 2,3 * * *",
    "0 9 L * *",
    "0 9 1,L * *",
    "0 9 * * 5L",
    "0 9 * * MON#2",
    "0 9 13 * 5",
    "0 9 */2 * 1",
    "0 9 1 * */2",
    "0 9 ? JAN-MAR sun,Wed",
    "0 0 29 2 *",
    "@hourly",
    "@weekends",
)


def told_by_bullmq(cases):
    done = subprocess.run(
        ["node", str(PROGRAM)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def told_by_toril(case):
    pattern, zone, ms, n = case
    found = []
    try:
        cron = cron_of(pattern, zone)
    except ValidationError as error:
        return str(error)
    for _ in range(n):
        ms = cron.next_after(ms)
        found.append(ms)
    return found


def changes(zone):
    """Return the hours at which clocks change."""
    offsets = [
        (second, datetime.fromtimestamp(second, ZoneInfo(zone)).utcoffset())
        for second in range(BEGIN, BEGIN + SPAN, HOUR)
    ]
    return [second for (_, before), (second, after) in pairwise(offsets) if before != after]


CHANGES = {zone: changes(zone) for zone in ZONES}


def is_repeated(second, zone):
    """Whether it is in an hour that comes twice, the second time: BullMQ takes it for the first."""
    return datetime.fromtimestamp(second, ZoneInfo(zone)).fold == 1


def differing(cases):
    """Return where the times differ; who refuses a pattern may say so in other words."""
    answers = zip(cases, told_by_bullmq(cases), map(told_by_toril, cases), strict=True)
    return [
        (case, theirs, ours)
        for case, theirs, ours in answers
        if theirs != ours and not (isinstance(theirs, str) and isinstance(ours, str))
    ]


@pytest.mark.parametrize("pattern", TABLE)
def test_a_pattern_is_due_when_bullmq_says(pattern):
    cases = [
        [pattern, zone, second * 1000, TIMES]
        for zone in ZONES
        for second in (
            BEGIN,
            *(change + hours * HOUR for change in CHANGES[zone] for hours in (-20, -2, -1, 3)),
        )
        if not is_repeated(second, zone)
    ]
    assert differing(cases) == []


def test_drawn_patterns_are_due_when_bullmq_says_and_both_refuse_the_same():
    draw = random.Random(2025)
    cases = []
    while len(cases) < DRAWN:
        zone = draw.choice(ZONES)
        second = BEGIN + draw.randrange(SPAN)
        if CHANGES[zone] and draw.random() < 0.5:
            second = draw.choice(CHANGES[zone]) + draw.randint(-24 * HOUR, 24 * HOUR)
        if not is_repeated(second, zone):
            millis = draw.choice((0, 0, 1, 500, 999))
            cases.append([pattern(draw), zone, second * 1000 + millis, TIMES])
    assert differing(cases) == []


def pattern(draw):
    fields = [
        field(draw, 0, 59, 0.3),
        field(draw, 0, 23, 0.4),
        field(draw, 1, 31, 0.6, special=("L", "1,L")),
        field(draw, 1, 12, 0.7, names=("JAN", "feb", "Dec")),
        field(draw, 0, 7, 0.6, names=("MON", "sun"), special=("5L", "1#2", "fri#5", "1L,3L")),
    ]
    if draw.random() < 0.5:
        fields.insert(0, field(draw, 0, 59, 0.2))
    return " ".join(fields)


def field(draw, least, most, stars, *, names=(), special=()):
    if draw.random() < stars:
        return draw.choice(("*", "*", "?"))
    if special and draw.random() < 0.3:
        return draw.choice(special)
    return ",".join(item(draw, least, most, names) for _ in range(draw.choice((1, 1, 1, 2, 3))))


def item(draw, least, most, names):
    first = draw.randint(least, most)
    last = draw.randint(first, most)
    shapes = [
        str(first),
        str(first),
        f"{first}-{last}",
        f"*/{draw.randint(1, most)}",
        f"{first}-{last}/{draw.randint(1, 5)}",
        f"{first}/{draw.randint(1, 9)}",
        *names,
    ]
    return draw.choice(shapes)
