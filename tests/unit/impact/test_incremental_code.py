"""The code of incremental models for later runs: what people rewrite without another meaning says nothing, all else does."""

from __future__ import annotations

import pytest

from app.lineage.impact.incremental_code import same_later

MODEL = """{{ config(materialized='incremental') }}
with fresh as (select * from {{ ref('events') }}), seen as (select max(at) as at from fresh)
select fresh.id, fresh.at from fresh
{% if is_incremental() %}
inner join old on old.id = fresh.id
where fresh.at > (select max(at) from {{ this }}) and fresh.kind = 'A'
{% endif %}
"""
CONDITION = "fresh.at > (select max(at) from {{ this }}) and fresh.kind = 'A'"


def later(before: str, after: str, text: str = MODEL) -> bool:
    assert before in text
    return same_later({"raw_code": text}, {"raw_code": text.replace(before, after)})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("inner join", "join"),
        ("inner join", "INNER\n  JOIN -- all of them\n"),
        (CONDITION, f"({CONDITION})"),
        (CONDITION, f"(({CONDITION}))"),
        ("fresh", "the_fresh_ones"),
        ("where", "/* the new ones */ where"),
    ],
)
def test_another_way_to_write_it_says_nothing(before: str, after: str) -> None:
    assert later(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("inner join", "left join"),
        ("'A'", "'a'"),
        (CONDITION, CONDITION.replace(" and ", " or ")),
        (CONDITION, f"({CONDITION}) or fresh.id = 1"),
        (
            "fresh.at > (select max(at) from {{ this }}) and fresh.kind = 'A'",
            "fresh.at > (select max(at) from {{ this }}) and (fresh.kind = 'B')",
        ),
        ("select max(at) from {{ this }}", "select min(at) from {{ this }}"),
        ("where fresh.at", "where old.at"),
        ("join old on old.id", "join seen on seen.id"),
        ("is_incremental()", "not is_incremental()"),
    ],
)
def test_another_meaning_is_a_change(before: str, after: str) -> None:
    assert not later(before, after)


def test_a_cte_for_later_runs_alone_may_have_another_name() -> None:
    text = "{% if is_incremental() %} with old as (select max(at) as at from {{ this }}) {% endif %}\nselect 1 as id"
    assert later("old", "known", text)
    assert not later("max(at)", "min(at)", text)


def test_parentheses_that_bind_stay() -> None:
    text = MODEL.replace(CONDITION, "(fresh.at > 1 or fresh.kind = 'A') and fresh.id > 2")
    assert not later("(fresh.at > 1 or fresh.kind = 'A') and fresh.id > 2", "fresh.at > 1 or (fresh.kind = 'A' and fresh.id > 2)", text)
    assert not later("(fresh.at > 1 or fresh.kind = 'A') and", "fresh.at > 1 or fresh.kind = 'A' and", text)


@pytest.mark.parametrize("code", ["(" * 50_000, "where (" * 20_000, "with a as (" * 10_000, "{% if is_incremental() %}" * 5_000])
def test_code_of_any_shape_is_compared(code: str) -> None:
    text = f"is_incremental {{% if is_incremental() %}}{code}{{% endif %}}"
    assert same_later({"raw_code": text}, {"raw_code": text + " "})
