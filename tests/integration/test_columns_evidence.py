"""Columns of undocumented sources, which other models show, with real dbt: the same result in every order and after every push."""

from __future__ import annotations

from tests.engine.forks import Forks
from tests.integration.column_containers import Node, Written, written
from tests.integration.runner_projects import PROJECT

FILES = {
    "dbt_project.yml": PROJECT,
    "models/s.yml": "sources: [{name: raw, tables: [{name: a}, {name: b}]}]",
    "models/m.sql": "select amount, label, other from {{ source('raw', 'a') }} as a join {{ source('raw', 'b') }} as b on a.id = b.id",
    "models/before.sql": "select amount from {{ source('raw', 'a') }}",
    "models/after.sql": "select label from {{ source('raw', 'b') }} as b join {{ ref('m') }} as m on true",
    "models/z.sql": "select b.label, a.id from {{ source('raw', 'b') }} as b join {{ source('raw', 'a') }} as a on true",
    "models/reads.sql": "select amount from {{ ref('m') }}",
    "models/starred.sql": """
        select a.* exclude (hidden), label as l from {{ source('raw', 'a') }} as a join {{ source('raw', 'b') }} as b on true""",
    "models/of_starred.sql": "select hidden, amount from {{ ref('starred') }} as s join {{ source('raw', 'b') }} as b on true",
}
LABEL_OF_NOTHING = FILES | {"models/z.sql": "select 1 as label"}
OTHER_OF_A = FILES | {"models/z.sql": FILES["models/z.sql"].replace("a.id", "a.other")}


def said(found: Written) -> dict[str, Node]:
    return {name: {key: value for key, value in node.items() if key not in ("reused", "cache")} for name, node in found.nodes.items()}


async def test_a_column_is_that_of_the_table_for_which_another_model_shows_it(forks: Forks) -> None:
    found = await written(FILES, forks=forks)
    assert found.sources_of("model.m", "amount") == {"source.raw.a.amount"}
    assert found.sources_of("model.m", "label") == {"source.raw.b.label"}
    assert found.sources_of("model.m", "other") == {"source.raw.a.other", "source.raw.b.other"}
    assert "`other`" in found.nodes["model.m"]["reason"]
    assert "`label`" not in found.nodes["model.m"]["reason"]
    # The star has all columns that its table is shown to have, except those that it leaves out.
    assert found.sources_of("model.of_starred", "amount") == {"model.starred.amount"}
    assert found.sources_of("model.of_starred", "hidden") == {"source.raw.b.hidden"}


async def test_after_a_push_to_another_model_the_result_is_that_of_a_full_run(forks: Forks) -> None:
    before = await written(FILES, forks=forks)
    for files in (LABEL_OF_NOTHING, OTHER_OF_A):
        after, full = await written(files, previous=before, forks=forks), await written(files, forks=forks)
        assert said(after) == said(full)
        assert said(after)["model.m"] != said(before)["model.m"]
        assert after.nodes["model.reads"]["reused"]
        back = await written(FILES, previous=after, forks=forks)
        assert said(back) == said(before)
        unchanged = await written(FILES, previous=back, forks=forks)
        assert said(unchanged) == said(before)
        assert all(node["reused"] for name, node in unchanged.nodes.items() if name.startswith("model"))
    assert full.nodes["model.m"]["status"] == "exact"
