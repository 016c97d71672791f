"""Texts that stand for unknown ones, of types and variables: macros may write them into SQL, but not decide by them unnoticed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.unit.test_runner_placeholders import load

types = load("freshet_render_types")


@dataclass
class Column:
    """A column as dbt's adapters have it."""

    name: str
    dtype: str

    @property
    def data_type(self) -> str:
        return "character varying(256)" if self.is_string() else self.dtype

    def is_string(self) -> bool:
        return self.dtype.lower() in ["text", "varchar"]


def column(looks: list[str]) -> Any:
    return types.watched(Column("a", "TEXT"), lambda: looks.append("looked"))


def test_writing_an_unknown_type_into_sql_decides_nothing() -> None:
    looks: list[str] = []
    found = column(looks)
    assert f"cast(a as {found.dtype})" == "cast(a as TEXT)"
    assert f"cast(a as {found.data_type.upper()})" == "cast(a as CHARACTER VARYING(256))"
    assert str(found.dtype.lower()) == "text"
    assert isinstance(found, Column)
    assert not looks


@pytest.mark.parametrize(
    "decision",
    [
        lambda found: found.is_string(),
        lambda found: found.dtype == "TEXT",
        lambda found: found.dtype.lower() in ("date", "timestamp"),
        lambda found: "char" in found.data_type,
        lambda found: found.data_type.upper().startswith("TIMESTAMP"),
    ],
)
def test_deciding_by_an_unknown_type_is_noticed(decision: Any) -> None:
    looks: list[str] = []
    decision(column(looks))
    assert looks


def test_columns_of_unknown_types_are_compared_as_others_are() -> None:
    looks: list[str] = []
    assert column(looks) == column(looks)
    assert column(looks) != types.watched(Column("b", "TEXT"), lambda: None)


@pytest.mark.parametrize(
    ("value", "decides"), [(True, True), (False, True), ([], True), ({}, True), ("text", False), (1, False), ({"a": 1}, False)]
)
def test_a_truth_or_nothing_in_the_place_of_a_variable_decides_at_once(value: Any, decides: bool) -> None:  # noqa: FBT001
    looks: list[str] = []
    types.variable(value, lambda: looks.append("looked"))
    assert bool(looks) is decides


def test_a_text_in_the_place_of_a_variable_decides_when_it_is_tested() -> None:
    looks: list[str] = []
    found = types.variable("text", lambda: looks.append("looked"))
    assert f"'{found}'" == "'text'"
    assert not looks
    assert found
    assert looks
