"""Stub profiles: constants, without secrets."""

from __future__ import annotations

import pytest

from app.dbt.profile import OUTPUTS, stub


def test_a_profile_has_the_names_that_the_project_asks_for() -> None:
    profiles = stub("shop", "prod", "postgres")
    assert list(profiles) == ["shop"]
    assert profiles["shop"]["target"] == "prod"
    assert profiles["shop"]["outputs"]["prod"]["type"] == "postgres"


@pytest.mark.parametrize("adapter", sorted(OUTPUTS))
def test_a_profile_is_the_same_each_time_and_each_time_its_own(adapter: str) -> None:
    first = stub("shop", "dev", adapter)
    assert stub("shop", "dev", adapter) == first
    first["shop"]["outputs"]["dev"]["schema"] = "changed"
    assert stub("shop", "dev", adapter) != first


def test_an_unknown_adapter_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'oracle': known are duckdb, postgres"):
        stub("shop", "dev", "oracle")
