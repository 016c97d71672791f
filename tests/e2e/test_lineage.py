"""What a real dbt says of the demo's project: columns with their tests, datasets for OpenLineage, and what a push changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.api_world import PROJECT, world

MARTS = PROJECT / "models" / "marts"
RENTALS = "model.kingfisher.fct_rentals"


def columns(lineage: dict[str, Any], unique_id: str) -> dict[str, list[str]]:
    """The names of a node's columns, and of the tests at each."""
    [node] = [node for node in lineage["nodes"] if node["unique_id"] == unique_id]
    return {column["name"]: [test["name"] for test in column["tests"]] for column in node["columns"]}


async def test_a_real_manifest_is_told_whole(tmp_path: Path) -> None:
    async with world(tmp_path / "data") as asked:
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

        events = {event["job"]["name"]: event for event in await service.get(f"{path}/lineage", format="openlineage")}
        assert set(events) == {
            f"kingfisher.{node['unique_id']}"
            for node in lineage["nodes"]
            if node["resource_type"] in ("model", "seed", "snapshot") and node["materialized"] != "ephemeral"
        }
        event = events[f"kingfisher.{RENTALS}"]
        assert [one["name"].split(".")[-1] for one in event["outputs"]] == ["fct_rentals"]
        assert event["inputs"]
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
        run = await asked.github.wait_for_check_run(asked.repository, sha, timeout_s=120)
        assert run.conclusion == "success", run.summary
        diff = await service.get(f"{path}/diff", base=asked.sha, head=sha)
        assert {node["unique_id"]: node["changes"] for node in diff["nodes_changed"]} == {
            RENTALS: ["sql", "edges"],
            "model.kingfisher.dim_bikes": ["description"],
        }
        assert diff["edges_removed"] == [{"upstream": "seed.kingfisher.public_holidays", "downstream": RENTALS}]
        assert (diff["nodes_added"], diff["nodes_removed"], diff["edges_added"]) == ([], [], [])
