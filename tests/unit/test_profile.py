"""Stub profiles: constants, without secrets."""

from __future__ import annotations

import pytest

from app.project.adapters import IN_IMAGES
from app.runner.profile import stub


def test_a_profile_has_the_projects_profile_and_target_names() -> None:
    profiles = stub("shop", "prod", "postgres")
    assert list(profiles) == ["shop"]
    assert profiles["shop"]["target"] == "prod"
    assert profiles["shop"]["outputs"]["prod"]["type"] == "postgres"


@pytest.mark.parametrize("adapter", sorted(IN_IMAGES))
def test_a_profile_is_a_constant_and_each_call_returns_a_copy(adapter: str) -> None:
    first = stub("shop", "dev", adapter)
    assert stub("shop", "dev", adapter) == first
    first["shop"]["outputs"]["dev"]["schema"] = "changed"
    assert stub("shop", "dev", adapter) != first


@pytest.mark.parametrize("adapter", sorted(IN_IMAGES))
def test_a_profile_contains_no_secret(adapter: str) -> None:
    output = stub("shop", "dev", adapter)["shop"]["outputs"]["dev"]
    assert output["type"] == adapter
    assert {output.get(name, "none") for name in ("password", "token")} == {"none"}


def test_an_unknown_adapter_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'oracle': known are athena, bigquery"):
        stub("shop", "dev", "oracle")
