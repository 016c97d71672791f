"""The figures of docs/scaling.md are those of `python -m tests.bench.scaling`."""

from __future__ import annotations

import pytest

from tests.bench import scaling
from tests.bench.simulation import Deployment


def table(name: str) -> list[str]:
    begin, end = scaling.markers(name)
    return scaling.PAGE.read_text().partition(begin)[2].partition(end)[0].strip().splitlines()


def test_the_page_has_what_the_simulation_says_of_a_host() -> None:
    assert scaling.load_row(scaling.simulate(scaling.DEPLOYMENTS[2])) in table("load")


@pytest.mark.parametrize("name", ["load", "sustained"])
def test_the_page_has_every_deployment(name: str) -> None:
    assert [line.split(" | ")[0].strip("| ") for line in table(name)[2:]] == [one.name for one in scaling.DEPLOYMENTS]


def test_the_page_has_what_is_stored_for_a_push() -> None:
    assert table("disk") == scaling.disk_table().splitlines()


def test_a_host_that_is_too_small_falls_behind_and_says_so() -> None:
    result = scaling.simulate(Deployment("small", 1, 2, 0), 600, 1200)
    assert not result.keeps_up
    assert "falls behind" in scaling.load_row(result)
