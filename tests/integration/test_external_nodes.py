"""Models of other projects in dbt: what `ref()` finds, in several versions of dbt, with the state of earlier parses and without."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from app.core.models.other_projects import PublicModel
from app.lineage.manifest import decode
from app.lineage.nodes import Lineage, build
from tests.engine.forks import Forks
from tests.integration.column_containers import written
from tests.integration.runner_images import RUNNER_IMAGE
from tests.integration.runner_steps import Parsed, steps, told

pytestmark = pytest.mark.containers

FILES = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n",
    "dependencies.yml": "projects:\n- name: platform\n",
    "models/a.sql": "select * from {{ ref('platform', 'orders') }}",
    "models/b.sql": "select * from {{ ref('a') }}",
    "models/c.sql": "select * from {{ ref('platform', 'v', v=1) }} join {{ ref('platform', 'v') }} using (id)",
    "models/schema.yml": "models:\n- name: a\n  columns:\n  - name: id\n"
    "    tests: [{relationships: {to: \"ref('platform', 'days')\", field: id}}]\n"
    "exposures:\n- {name: board, type: dashboard, owner: {email: a@b.c}, depends_on: [\"ref('platform', 'customers')\"]}\n",
}
ORDERS = PublicModel("platform", "orders", relation_name='"memory"."main"."a"')
"""Its table has the name of one of the project's own: both may be read with the names of one developer."""
MODELS = (
    ORDERS,
    *(PublicModel("platform", name) for name in ("days", "customers", "unread", "b")),
    *(PublicModel("platform", "v", number, 2) for number in (1, 2)),
)


def lineage(parsed: Parsed) -> Lineage:
    assert parsed.error is None, parsed.error
    return build(decode(parsed.manifest))


async def test_what_ref_finds_in_other_projects_is_the_same_with_a_state_as_without() -> None:
    async with steps() as runner:
        missing = await runner.parse(FILES)
        assert "which was not found" in (missing.error or "")
        start = await runner.parse(FILES, external=MODELS)
        found = lineage(start)
        assert found.external == {f"model.platform.{name}" for name in ("orders", "days", "customers", "v.v1", "v.v2")}
        edges = {node.unique_id: node.upstream for node in found.nodes}
        assert edges["model.shop.a"] == ("model.platform.orders",)
        assert edges["model.shop.b"] == ("model.shop.a",)
        assert edges["model.shop.c"] == ("model.platform.v.v1", "model.platform.v.v2")
        assert edges["exposure.shop.board"] == ("model.platform.customers",)
        assert b"model.platform.unread" not in start.manifest, "no other names than those that the project has"
        moved = (replace(ORDERS, relation_name="lake.core.orders"), *MODELS[1:])
        changed = {**FILES, "models/b.sql": "select * from {{ ref('a') }} join {{ ref('platform', 'unread') }} using (id)"}
        for files, models, parsed_again in ((FILES, MODELS, []), (FILES, moved, []), (changed, moved, ["b"])):
            full, again = await runner.parse(files, external=models), await runner.parse(files, start.state, external=models)
            assert told(again) == told(full)
            assert (again.error, again.nodes) == (None, parsed_again)
        gone = await runner.parse(FILES, start.state)
        assert told(gone) == told(missing)


@pytest.mark.parametrize("minor", ["1.7", "1.10"])
async def test_other_versions_of_dbt_find_models_of_other_projects_too(minor: str) -> None:
    async with steps(RUNNER_IMAGE.replace("latest", minor)) as runner:
        assert len(lineage(await runner.parse(FILES, external=MODELS)).external) == 5


async def test_columns_of_an_external_node_are_those_that_the_project_reads_by_name(forks: Forks) -> None:
    files = {**FILES, "models/a.sql": "select o.id, o.total * 2 as twice from {{ ref('platform', 'orders') }} o"}
    found = await written(files, forks=forks, external_nodes=[asdict(model) for model in MODELS])
    orders = found.nodes["model.platform.orders"]
    assert (orders["status"], orders["reason"]) == ("unknown", "It is defined in another project: only the columns in YAML are known.")
    assert found.sources_of("model.a", "twice") == {"model.platform.orders.total"}
    assert set(found.columns("model.platform.orders")) == {"id", "total"}
    assert found.nodes["model.a"]["status"] == "exact"
