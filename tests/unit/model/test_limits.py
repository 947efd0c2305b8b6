"""A queue's limits: what they may be."""

import pytest

from toril.errors import ValidationError
from toril.model.limits import RateLimit


@pytest.mark.parametrize("most", [0, -1, 1.5, "3", True, None], ids=repr)
def test_a_rate_limit_lets_at_least_one_job_through(most):
    with pytest.raises(ValidationError, match=r"^rate_limit\.max: "):
        RateLimit(most, per=1)


@pytest.mark.parametrize("per", [0, -1, "x", 0.0001, None], ids=repr)
def test_a_rate_limit_has_a_window_of_at_least_a_millisecond(per):
    with pytest.raises(ValidationError, match=r"^rate_limit\.per: "):
        RateLimit(1, per=per)


def test_a_rate_limit_knows_its_window_in_milliseconds():
    assert RateLimit(100, per="1m").per_ms == 60_000
