"""What edits of a dbt project do, with real dbt, from lineages that a real PostgreSQL stores."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from app.lineage.impact.model import Impact
from app.lineage.nodes import read_manifest
from app.pipeline.decoding import spooled_columns
from app.pipeline.decoding.spooled_columns import ColumnsScope, SpooledColumns
from app.store import Store
from tests.engine.forks import Forks
from tests.integration.column_containers import written
from tests.integration.lineage_reader import SHAS, Reader, reading, save_lineage
from tests.integration.runner_projects import PROJECT
from tests.unit.impact.sides import changed, is_silent, reached

FILES = {
    "dbt_project.yml": PROJECT,
    "seeds/payments.csv": "id,order_id,amount\n1,7,300\n",
    "macros/cents.sql": "{% macro euros(column) %} ({{ column }} / 100) {% endmacro %}",
    "models/stg_payments.sql": "select id, order_id, amount from {{ ref('payments') }}",
    "models/orders.sql": """
        with paid as (select order_id, sum(amount) as total from {{ ref('stg_payments') }} where amount > 0 group by order_id)
        select paid.order_id, paid.total from paid""",
    "models/shares.sql": "select id, {{ euros('id') }} as share from {{ ref('stg_payments') }}",
    "models/everything.sql": "select * from {{ ref('stg_payments') }}",
    "models/mart.sql": """
        select orders.order_id, orders.total from {{ ref('orders') }} as orders
        join {{ ref('everything') }} as everything on everything.order_id = orders.order_id""",
    "models/schema.yml": """
models:
  - name: stg_payments
    description: Payments.
    columns:
      - name: amount
        data_tests: [not_null]
      - name: id
        data_tests: [unique]
unit_tests:
  - name: totals
    model: orders
    given: [{input: ref('stg_payments'), rows: [{order_id: 7, amount: 300}]}]
    expect: {rows: [{order_id: 7, total: 300}]}
exposures:
  - {name: board, type: dashboard, owner: {name: Ann}, depends_on: [ref('mart')]}
""",
}
QUIET = {
    "seeds/payments.csv": FILES["seeds/payments.csv"].replace("\n", "\r\n"),
    "macros/cents.sql": "{# Prices are in cents. #}\n{% macro euros(column) -%}\n  ( {{ column }} / 100 )\n{%- endmacro %}",
    "models/orders.sql": """
-- What was paid for each order.
WITH sums AS (
    SELECT order_id, SUM(amount) AS total FROM {{ ref('stg_payments') }} WHERE (amount > 0) GROUP BY order_id
)
SELECT sums.order_id, sums.total FROM sums""",
    "models/schema.yml": FILES["models/schema.yml"]
    .replace("Payments.", "All payments, one a row.")
    .replace("[unique]", "[unique, not_null]"),
}
REMOVED = {"models/stg_payments.sql": "select id, order_id from {{ ref('payments') }}"}
RENAMED = {
    "models/stg_payments.sql": "select id, order_id, amount as cents from {{ ref('payments') }}",
    "models/orders.sql": FILES["models/orders.sql"].replace("sum(amount)", "sum(cents)").replace("amount > 0", "cents > 0"),
    "models/schema.yml": FILES["models/schema.yml"].replace("amount", "cents"),
    "macros/cents.sql": FILES["macros/cents.sql"].replace("100", "100.0"),
}
"""A column has another name, and everything that reads it follows. A macro changed, which one model uses."""
PUT_BETWEEN = {
    "models/all_payments.sql": "with source as (select * from {{ ref('stg_payments') }}) select id, order_id, amount from source",
    "models/orders.sql": FILES["models/orders.sql"].replace("stg_payments", "all_payments"),
    "models/everything.sql": FILES["models/everything.sql"].replace("stg_payments", "all_payments"),
}


@dataclass(frozen=True)
class Commits:
    """A stored base, and commits that are compared with it."""

    reader: Reader
    forks: Forks

    async def save(self, sha: str, files: Mapping[str, str]) -> None:
        """Have dbt parse a commit and its columns traced, and store both."""
        found = await written(files, forks=self.forks)
        lineage = read_manifest(found.manifest, "octo/shop", "dbt-runner")
        rows = tempfile.TemporaryFile()  # noqa: SIM115 - the columns close it
        columns = SpooledColumns(rows, spooled_columns.write(found.document, ColumnsScope(lineage.unique_ids()), rows))
        await save_lineage(self.reader.store, self.reader.connection_id, sha, lineage, columns)

    async def impact(self, number: int) -> Impact:
        """What the commit does."""
        heads = [await self.reader.store.lineages.head(self.reader.connection_id, SHAS[one]) for one in (2, number)]
        assert heads[0] is not None
        assert heads[1] is not None
        found = await self.reader.store.lineage_cache.impact(heads[0], heads[1])
        assert found is not None
        return found


@pytest_asyncio.fixture
async def commits(store: Store, forks: Forks, tmp_path: Path) -> AsyncIterator[Commits]:
    async with reading(store, tmp_path) as reader:
        yield Commits(reader, forks)


async def test_edits_do_what_they_do_to_data(commits: Commits) -> None:
    edits: tuple[Mapping[str, str], ...] = ({}, QUIET, REMOVED, RENAMED, PUT_BETWEEN)
    for number, edit in enumerate(edits):
        await commits.save(SHAS[number + 2], {**FILES, **edit})
    quiet, removed, renamed, put_between = [await commits.impact(number) for number in (3, 4, 5, 6)]

    assert is_silent(quiet)

    assert changed(removed) == {"stg_payments: removed amount"}
    assert changed(removed, inherited=True) == {"everything: removed amount"}
    assert sorted(one.kind for one in removed.breaks if one.certain) == ["column_removed", "test", "unit_test"]
    assert len(removed.breaks) == 3
    assert reached(removed) == {"board": "rows 3", "mart": "rows 2", "everything": "column 1: amount", "orders": "rows 1"}

    assert changed(renamed) == {"stg_payments: renamed amount→cents", "shares: logic share"}
    assert changed(renamed, inherited=True) == {"everything: renamed amount→cents"}
    assert renamed.breaks == ()

    assert changed(put_between) == {"all_payments: added"}
    assert (changed(put_between, inherited=True), reached(put_between)) == (set(), {})
