"""The demo's night: over by the time it is built, whatever the hour, so that no clock seems to be ahead."""

from datetime import UTC, datetime, timedelta

import pytest

from nightferry.api._demo import last_evening
from nightferry.testing.observations import plan_observations


@pytest.mark.parametrize("hour", range(24))
def test_the_demos_night_is_over_and_not_long_ago_at_whatever_hour_it_is_built(hour: int) -> None:
    now = datetime(2026, 11, 22, hour, 30, tzinfo=UTC)
    *_, last = plan_observations(last_evening(now), observations=5, lights=12)
    taken = last.start_of(last.lights + 1)
    assert now - timedelta(hours=40) < taken < now
