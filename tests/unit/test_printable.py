"""Text from any source does not steer the terminal that shows it."""

import logging

import pytest

from toril import printable

STEERING = "\x1b]0;title\x07\x1b[2J \r \x9b31m \u202e \u2066 \ud800 \x00"


@pytest.fixture
def logged():
    """Return what a plain handler prints of a record."""

    class Handler(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    lines = []
    log = printable.logger("toril.test")
    handler = Handler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log.addHandler(handler)
    yield log, lines
    log.removeHandler(handler)


def test_what_steers_a_terminal_becomes_visible():
    shown = printable.visible(STEERING)

    assert shown.isprintable()
    assert "\\x1b[2J" in shown
    assert "\\u202e" in shown
    assert "\\ud800" in shown


@pytest.mark.parametrize(
    "text", ["naïve 東京 🐂", "two\n\tlines", "no\u00a0break", "👨\u200d👩\u200d👧", ""]
)
def test_ordinary_text_stays_as_it_is(text):
    assert printable.visible(text) == text


def test_a_text_of_one_line_has_no_line_breaks():
    assert printable.one_line("a\nb\tc\r\n") == r"a\nb\tc\r\n"


def test_a_message_forges_no_further_message(logged):
    log, lines = logged

    log.error("%s failed: %s", "send", ValueError(f"no\nERROR all is lost {STEERING}"))

    (shown,) = lines
    first, second = shown.split("\n")
    assert first == "ERROR send failed: no"
    assert second.startswith("    ERROR all is lost")
    assert second.isprintable()


def test_neither_does_a_traceback(logged):
    log, lines = logged
    try:
        raise ValueError(f"no\nERROR all is lost {STEERING}")  # noqa: TRY301
    except ValueError:
        log.exception("it failed")

    first, *others = lines[0].split("\n")
    assert first == "ERROR it failed"
    assert all(line.startswith("    ") and line.isprintable() for line in others)


def test_a_program_that_uses_the_formatter_is_safe_from_other_loggers_too(capsys):
    handler = logging.StreamHandler()
    handler.setFormatter(printable.LogFormatter("%(levelname)s %(message)s"))
    log = logging.getLogger("an-application")
    log.propagate = False  # pytest cannot report a lone surrogate
    log.addHandler(handler)
    try:
        raise ValueError(STEERING)  # noqa: TRY301
    except ValueError:
        log.exception("one\nERROR two %s", STEERING)
    log.removeHandler(handler)

    shown = capsys.readouterr().err.rstrip("\n").split("\n")
    assert shown[0] == "ERROR one"
    assert all(line.startswith("    ") and line.isprintable() for line in shown[1:])


def test_numbers_are_still_formatted_as_numbers(logged):
    log, lines = logged

    log.warning("%d of %g", 5, 0.5)

    assert lines == ["WARNING 5 of 0.5"]
