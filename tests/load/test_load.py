"""A share of `make load`. `tests/integration/test_floods.py` and `tests/integration/test_intake.py` are two other shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.load import flatness, viewers
from tests.load.part import Outcome
from tests.load.process import Reading

READING = Reading(rss_kib=100_000, child_rss_kib=20_000, files=30, threads=6, tasks=29, children=1, left=3, containers=2)
"""A service at rest."""


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(lambda: viewers.run(300, 10, repositories=3, asked=500, until_gone=False), id="viewers"),
        pytest.param(lambda: flatness.stubbed(16, 2, most_kib=500), id="stubbed-extractions"),
    ],
)
async def test_nothing_is_lost_and_nothing_grows(part: Callable[[], Awaitable[Outcome]]) -> None:
    outcome = await part()
    assert not outcome.violations, "\n".join(outcome.violations)
    assert outcome.rows


@pytest.mark.parametrize("grown", ["rss_kib", "child_rss_kib", "files", "threads", "tasks", "children", "left", "containers"])
def test_what_grows_is_noticed(grown: str) -> None:
    """By what one extraction leaves in each of a thousand."""
    steady, growing = Outcome(), Outcome()
    each = 40 if grown.endswith("_kib") else 1
    flatness.compare([READING] * 1000, 1000, steady)
    flatness.compare([replace(READING, **{grown: getattr(READING, grown) + each * number}) for number in range(1000)], 1000, growing)
    assert not steady.violations
    assert len(growing.violations) == 1
