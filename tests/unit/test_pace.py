"""The pace of requests: within GitHub's published limits in every minute and hour, and no slower than that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from app.core.errors import NotYetError
from app.github.rest.pace import Pace

MINUTE_S, HOUR_S = 60.0, 3600.0


class Time:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.requests_s: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.requests_s.append(self.now_s)

    def most_within(self, window_s: float) -> int:
        return max(sum(at <= other < at + window_s for other in self.requests_s) for at in self.requests_s)


def make() -> tuple[Pace, Time]:
    time = Time()
    return Pace(time, time.sleep), time


async def as_allowed(time: Time, ask: Callable[[], Awaitable[None]]) -> None:
    """Ask, as often as GitHub's pace makes it wait."""
    while True:
        try:
            return await ask()
        except NotYetError as error:
            time.now_s += error.retry_after_s or 0.0


async def test_the_first_scan_of_300_repositories_takes_two_minutes() -> None:
    pace, time = make()
    for _ in range(600):
        await pace.read(1)
    assert time.most_within(MINUTE_S) <= 361
    assert time.now_s - time.requests_s[0] < 2 * MINUTE_S
    await pace.read(2)
    assert time.requests_s[-1] == time.now_s, "another installation does not wait"


async def test_reads_and_writes_together_stay_below_900_points_a_minute() -> None:
    pace, time = make()
    for _ in range(400):
        await as_allowed(time, lambda: pace.write(1, "updating a check run"))
    assert time.most_within(MINUTE_S) * 5 + 361 < 900


async def test_at_most_80_check_runs_are_created_in_a_minute_and_500_in_an_hour() -> None:
    pace, time = make()
    for _ in range(1000):
        await as_allowed(time, lambda: pace.create(1, "creating a check run"))
    assert time.most_within(MINUTE_S) < 80
    assert 400 <= time.most_within(HOUR_S) < 500


async def test_a_long_wait_is_the_callers() -> None:
    pace, time = make()
    for _ in range(30):
        await pace.write(1, "updating a check run")
    assert time.now_s == pytest.approx(1000.0), "a burst is sent at once"
    await pace.write(1, "updating a check run")
    with pytest.raises(NotYetError) as error:
        for _ in range(3):
            time.now_s -= 1  # as if these were asked at once
            await pace.write(1, "updating a check run")
    assert error.value.retry_after_s is not None
    assert error.value.retry_after_s < 5


async def test_superseded_commits_leave_room_for_current_ones() -> None:
    pace, _ = make()
    created = 0
    with pytest.raises(NotYetError) as error:
        for created in range(100):  # noqa: B007 - counts
            await pace.create(1, "creating a check run", spare=True)
    assert error.value.only_new
    for _ in range(created):
        await pace.create(1, "creating a check run")
