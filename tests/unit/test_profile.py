"""Stub profiles: constants, without secrets."""

from __future__ import annotations

import pytest

from app.dbt.profile import OUTPUTS, stub
from app.images import ADAPTERS


def test_there_is_a_profile_for_every_adapter_that_is_built() -> None:
    assert set(OUTPUTS) == ADAPTERS


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


@pytest.mark.parametrize("adapter", sorted(OUTPUTS))
def test_a_profile_holds_no_secret(adapter: str) -> None:
    output = stub("shop", "dev", adapter)["shop"]["outputs"]["dev"]
    assert output["type"] == adapter
    assert {output.get(name, "none") for name in ("password", "token")} == {"none"}


def test_an_unknown_adapter_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'oracle': known are athena, bigquery"):
        stub("shop", "dev", "oracle")
