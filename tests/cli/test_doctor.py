"""`toril doctor` shows what production would refuse, and how to fix it."""

import pytest

from tests.redis_server import RedisServer


@pytest.fixture
def server(tmp_path):
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


def test_the_doctor_shows_that_production_would_refuse_a_server(toril, server):
    answer = toril("doctor", "--url", server.url, TORIL_ENV="production")

    assert answer.code == 1
    assert "set appendonly yes" in answer.out
    assert "Toril does not start: the append-only file is off" in answer.err
    assert "TORIL_ALLOW_VOLATILE=1" in answer.err


@pytest.mark.parametrize("settings", [{}, {"TORIL_ENV": "production", "TORIL_ALLOW_VOLATILE": "1"}])
def test_a_server_without_a_file_is_a_warning_elsewhere(toril, server, settings):
    answer = toril("doctor", "--url", server.url, **settings)

    assert (answer.code, answer.err) == (0, "")
    assert "WARN" in answer.out
