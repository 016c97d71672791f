"""The lineage of the demo project, parsed by a real dbt: columns with tests, OpenLineage events, and the differences of a push."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.api_world import PROJECT, world
from tests.engine import EngineDouble

MARTS = PROJECT / "models" / "marts"
RENTALS = "model.kingfisher.fct_rentals"


def columns(lineage: dict[str, Any], unique_id: str) -> dict[str, list[str]]:
    """The names of a node's columns, and of the tests of each."""
    [node] = [node for node in lineage["nodes"] if node["unique_id"] == unique_id]
    return {column["name"]: [test["name"] for test in column["tests"]] for column in node["columns"]}


async def test_columns_events_and_differences_of_a_real_project(tmp_path: Path, dsn: str, engine: EngineDouble) -> None:
    async with world(tmp_path / "data", dsn, engine) as asked:
        service, path = asked.service, f"/connections/{asked.connection_id}"
        lineage = await service.get(f"{path}/lineage")
        rentals = columns(lineage, RENTALS)
        assert (rentals["rental_id"], rentals["bike_id"], rentals["price_eur"]) == (["not_null", "unique"], ["relationships"], [])
        assert columns(lineage, "source.kingfisher.booking.stations") == {"id": ["not_null", "unique"]}
        assert columns(lineage, "seed.kingfisher.bike_models")["purchase_price_cents"] == ["not_negative"]
        at_columns = [test["unique_id"] for node in lineage["nodes"] for column in node["columns"] for test in column["tests"]]
        tests = {node["unique_id"] for node in lineage["nodes"] if node["resource_type"] == "test"}
        assert len(at_columns) == len(set(at_columns))
        assert set(at_columns) <= tests

        bikes = await service.get(f"{path}/nodes/dim_bikes")
        assert bikes["raw_code"] == (MARTS / "dim_bikes.sql").read_text().strip()
        assert (bikes["fqn"][-1], bikes["language"], bikes["config"]["materialized"]) == ("dim_bikes", "sql", bikes["materialized"])
        edges = {(edge["upstream"], edge["downstream"]) for edge in lineage["edges"]}
        assert {(up, bikes["unique_id"]) for up in bikes["upstream"]} == {edge for edge in edges if edge[1] == bikes["unique_id"]}
        assert {(bikes["unique_id"], down) for down in bikes["downstream"]} == {edge for edge in edges if edge[0] == bikes["unique_id"]}

        events = {event["job"]["name"]: event for event in await service.get(f"{path}/lineage", format="openlineage")}
        assert set(events) == {
            f"kingfisher.{node['name']}{'.snapshot' if node['resource_type'] == 'snapshot' else ''}"
            for node in lineage["nodes"]
            if node["resource_type"] in ("model", "seed", "snapshot") and node["materialized"] != "ephemeral"
        }
        event = events["kingfisher.fct_rentals"]
        assert event["inputs"] == event["outputs"] == [], "the project has no profile: the names of its tables are not known"
        assert {node["relation_name"] for node in lineage["nodes"]} == {None}
        assert {node["relation_name_source"] for node in lineage["nodes"]} == {None, "placeholder"}
        url = event["job"]["facets"]["sourceCodeLocation"]["url"]
        assert url == f"{asked.github.server_url}/acme/bikes/blob/{asked.sha}/transform/models/marts/fct_rentals.sql"

        sql, yaml = (MARTS / "fct_rentals.sql").read_text(), (MARTS / "_marts.yml").read_text()
        changed = {
            "transform/models/marts/fct_rentals.sql": sql.replace(
                "left join {{ ref('public_holidays') }} as holidays", "left join holidays"
            ),
            "transform/models/marts/_marts.yml": yaml.replace("One row per bicycle.", "One row for each bicycle."),
        }
        sha = await asked.github.push(asked.repository, changed)
        run = await asked.github.wait_for_check_run(asked.repository, sha)
        assert run.conclusion == "success", run.summary
        diff = await service.get(f"{path}/diff", base=asked.sha, head=sha)
        assert {node["unique_id"]: node["changes"] for node in diff["nodes_changed"]} == {
            RENTALS: ["sql", "edges"],
            "model.kingfisher.dim_bikes": ["description"],
        }
        assert diff["edges_removed"] == [{"upstream": "seed.kingfisher.public_holidays", "downstream": RENTALS}]
        assert (diff["nodes_added"], diff["nodes_removed"], diff["edges_added"]) == ([], [], [])
