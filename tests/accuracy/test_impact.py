"""A share of `make accuracy` about impact: edits that say nothing, and generated projects whose two sides are run in DuckDB."""

from __future__ import annotations

import random

import pytest
import yaml

from tests.accuracy import generator, observed
from tests.accuracy.impact import editing, generated, reading, sql_edits, yaml_edits
from tests.accuracy.impact.dbt_text import UnreadableError, joined, pieces
from tests.accuracy.impact.macro_edits import edited_macro
from tests.accuracy.impact.report import TARGETS
from tests.accuracy.impact.sides import compare
from tests.accuracy.impact.small_projects import Model, SmallProject

MODEL = """{{ config(materialized='table') }}
with orders as (
    select * from {{ ref('orders') }} -- from orders
),
{% set methods = ['a', 'b'] %}
renamed as (
    select
        orders.id as order_id,
        'select from orders' as said,
        {%- for method in methods %}
        sum(case when "Method" = '{{ method }}' then amount end) as {{ method }}_amount,
        {%- endfor %}
        orders.day as day
    from orders left join {{ source('raw', 'days') }} as d on d.day = orders.day
    where orders.id > 3 and d.day is not null
    group by 1, 2
)
{% set later %} select 1  from nowhere {% endset %}
select * from renamed
"""
YAML = """version: 2
models:
  - name: orders  # one
    columns:
      - name: id
        data_tests: [unique, not_null]
      - name: day
        description: the day
  - name: days
"""


def untouchable(text: str) -> list[str]:
    return [one.text for one in pieces(text, "snowflake") if one.kind in ("text", "jinja", "tag") and not one.text.startswith("{#")]


@pytest.mark.parametrize("name", sql_edits.EDITS)
def test_an_edit_of_sql_leaves_jinja_and_strings_alone(name: str) -> None:
    edited = sql_edits.edited(MODEL, "snowflake", name, random.Random(1))
    assert edited is not None
    assert untouchable(edited) == untouchable(MODEL)
    assert "{% set later %} select 1  from nowhere {% endset %}" in edited


def test_no_comment_can_swallow_what_follows_it() -> None:
    edited = sql_edits.edited(MODEL, "snowflake", "comment lines", random.Random(1)) or ""
    found = pieces(edited, "snowflake")
    after = [found[place + 1 : place + 3] for place, piece in enumerate(found) if piece.kind == "comment"]
    assert len(after) > 5
    assert all("\n" in space.text and not piece.text.startswith(("{%-", "{{-")) for space, piece in after)


def test_a_renamed_cte_is_not_the_model_of_that_name() -> None:
    edited = sql_edits.edited(MODEL, "snowflake", "a renamed CTE", random.Random(2)) or ""
    assert "with orders_again as (\n    select * from {{ ref('orders') }}" in edited
    assert "from orders_again left join" in edited
    assert "orders_again.id as order_id" in edited


@pytest.mark.parametrize("text", ["select 'it", "select {{ ref('x') ", "select /* 1"])
def test_a_text_that_does_not_end_is_not_edited(text: str) -> None:
    with pytest.raises(UnreadableError):
        pieces(text, "duckdb")
    assert editing.edit([("models/x.sql", text)], "duckdb").files == {}


@pytest.mark.parametrize("number", range(40))
def test_edited_sql_says_the_same_to_duckdb(number: int) -> None:
    query, database = generator.query(number, "duckdb").duckdb, observed.oracles(1)[0]
    known = database.names(query), database.run(query)
    for name in sql_edits.EDITS:
        edited = sql_edits.edited(query, "duckdb", name, random.Random(number))
        if edited is not None and "{#" not in edited:
            assert (database.names(edited), database.run(edited)) == known, edited


@pytest.mark.parametrize("name", yaml_edits.EDITS)
def test_an_edit_of_yaml_changes_order_and_descriptions_only(name: str) -> None:
    edited = yaml_edits.edited(YAML, name, random.Random(1))
    assert edited is not None
    assert without_order(yaml.safe_load(edited)) == without_order(yaml.safe_load(YAML))


def without_order(content: object) -> object:
    if isinstance(content, dict):
        return sorted((key, repr(without_order(value))) for key, value in content.items() if key != "description")
    return sorted(repr(without_order(one)) for one in content) if isinstance(content, list) else content


def test_every_kind_of_edit_comes_up() -> None:
    files = [(f"models/{number}.sql", MODEL) for number in range(20)] + [(f"models/{number}.yml", YAML) for number in range(12)]
    found = editing.edit(files, "snowflake")
    assert found.counts.keys() == {*sql_edits.EDITS, *yaml_edits.EDITS}
    assert len(found.edits) == editing.PER_FILE * len(files)
    assert all(joined(pieces(text, "snowflake")) == text for path, text in found.files.items() if path.endswith(".sql"))


def test_an_edited_macro_makes_other_sql() -> None:
    macro = "{# 1 #}{% macro cents(x, y=2) %}\n  -- 3\n  ({{ x }} / 100)::numeric(16, {{ y }})\n{% endmacro %}"
    assert edited_macro(macro) == macro.replace("100", "101")
    assert edited_macro("{% macro name() %}{{ return('x') }}{% endmacro %}") is None


PROJECTS = 60


def test_impact_is_right_about_generated_projects() -> None:
    found = generated.measure(PROJECTS)
    assert found.projects.total() == PROJECTS
    assert len(found.projects) > 15
    assert {name: found.faults.get(name, []) for name in TARGETS if found.share(name) < TARGETS[name]} == {}


def said(x: str, reader: str, head: str, ephemeral: str = "") -> set[str]:
    """What is said of a model that reads X, for another X."""
    sides = (SmallProject(0, (Model("x", sql), Model("reader", reader)), ephemeral=ephemeral) for sql in (x, head))
    found = compare(*map(reading.side, sides))
    changes = {f"{one.change_class} {' '.join(one.columns)}" for one in found.changes if one.unique_id.endswith(".reader")}
    return changes | {f"breaks{'' if one.certain else '?'}" for one in found.breaks if one.unique_id.endswith(".reader")}


CASES = {
    "a name that is that of a table around then": ("select n from raw.v where k in (select k from mart.x)", {"rows "}),
    "a qualified name": ("select n from raw.v where k in (select x.k from mart.x)", {"breaks"}),
    "a condition of a subquery": ("select m from mart.x as o where exists (select 1 from raw.u where u.id = o.k)", {"breaks"}),
    "a predicate": ("select m from mart.x where k > 1", {"breaks"}),
    "columns named by their places": ("select one from (select * from mart.x) as s(one)", {"logic one"}),
    "a join": ("select a.m from mart.x as a join mart.x as b on a.k = b.k", {"breaks"}),
    "a column of its own": ("select k + 1 as n, m from mart.x", {"breaks"}),
    "a star": ("select * from mart.x", {"removed k"}),
}


@pytest.mark.parametrize(
    ("case", "ephemeral"), [*((case, "") for case in CASES), *((case, "x") for case in CASES if "x.k" not in CASES[case][0])]
)
def test_what_a_reader_of_a_removed_column_does(case: str, ephemeral: str) -> None:
    reader, expected = CASES[case]
    assert said("select k, m from raw.v", reader, "select m from raw.v", ephemeral) == expected


def test_a_union_by_place_has_other_values_when_columns_come_in_another_order() -> None:
    found = said("select k, m from raw.v", "select * from mart.x union all select 1, 2", "select m, k from raw.v")
    assert found == {"logic k m"}
