"""`extract --columns`, with real projects; the engine is a double."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import aiodocker
import pytest

from app.runner.docker.images import COLUMNS_LABEL
from tests.e2e.test_cli import PROJECT, freshet
from tests.engine import EngineDouble
from tests.integration.column_projects import FEATURES
from tests.integration.runner_images import SPEAKS, build_runner

ORIGINS = {
    ("seed.kingfisher.bike_models", "purchase_price_cents"),
    ("seed.kingfisher.tariffs", "unlock_cents"),
    ("source.kingfisher.workshop.repairs", "parts_cents"),
}
MANIFEST = {
    "metadata": {"adapter_type": "duckdb", "project_name": "tiny"},
    "nodes": {
        "model.tiny.orders": {
            "unique_id": "model.tiny.orders",
            "resource_type": "model",
            "name": "orders",
            "package_name": "tiny",
            "original_file_path": "models/orders.sql",
        }
    },
    "sources": {},
    "exposures": {},
    "metrics": {},
    "parent_map": {"model.tiny.orders": []},
}


def features(directory: Path) -> Path:
    """The project of the container's tests, with its package where `packages.yml` looks for it."""
    for name, content in FEATURES.items():
        path = directory / name.replace("dbt_packages/", "packages/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return directory


async def test_the_columns_follow_the_summary(engine: EngineDouble, tmp_path: Path) -> None:
    status, output, progress = await freshet("extract", str(PROJECT), "--columns", data_dir=tmp_path, DOCKER_HOST=engine.url)
    assert status == 0, progress
    assert progress.count("Trace columns") == 1
    graph, _, columns = output.partition("\nColumns: 17 models and 1 snapshot, all exact; ")
    assert "│ edges " in graph
    lines = columns.splitlines()
    assert "  minutes          int  <- computed from stg_rentals.started_at, stg_rentals.ended_at" in lines
    assert "  rows: FILTER stg_rentals.rental_status" in lines
    assert "bikes_snapshot  snapshot  exact" in lines


async def test_one_column_is_followed_to_its_sources_in_every_format(engine: EngineDouble, tmp_path: Path) -> None:
    target = tmp_path / "lineage.json"
    options = ("extract", str(PROJECT), "--columns", "--select", "bike_profitability.profit_eur")
    status, output, errors = await freshet(*options, "--json", str(target), data_dir=tmp_path, DOCKER_HOST=engine.url)
    assert status == 0, errors
    tree = output[output.index("bike_profitability.profit_eur") :].splitlines()
    assert tree[1:3] == ["├─ computed from dim_bikes.purchase_price_eur", "│  └─ computed from bike_models.purchase_price_cents  seed"]
    assert "      └─ computed from workshop.repairs.parts_cents  source" in tree

    document = json.loads(target.read_bytes())
    assert document["columns"].keys() == {"nodes", "edges"}
    found = {(node["unique_id"], column["name"]) for node in document["columns"]["nodes"] for column in node["columns"]}
    assert found > ORIGINS
    assert {node["unique_id"] for node in document["columns"]["nodes"]} == {node["unique_id"] for node in document["nodes"]}
    ends = {(edge["downstream"]["unique_id"], edge["downstream"]["column"]) for edge in document["columns"]["edges"]}
    assert ("model.kingfisher.int_rentals_priced", None) in ends

    status, output, _ = await freshet(*options, "--format", "csv", data_dir=tmp_path, DOCKER_HOST=engine.url)
    rows = [*csv.DictReader(io.StringIO(output))]
    assert (status, len(rows)) == (0, len(document["columns"]["edges"]))
    assert {(row["upstream_unique_id"], row["upstream_column"]) for row in rows} > ORIGINS


async def test_what_is_not_exact_says_why_and_what_is_not_there_has_candidates(engine: EngineDouble, tmp_path: Path) -> None:
    project = features(tmp_path / "project")
    selection = ("--select", "pivoted", "broken", "hard", "smaller.id")
    status, output, errors = await freshet(
        "extract", str(project), "--columns", *selection, data_dir=tmp_path / "data", DOCKER_HOST=engine.url
    )
    assert status == 0, errors
    lines = output.splitlines()
    assert "4 nodes selected" not in output, "a column that is followed is no node of the list"
    assert lines[lines.index("pivoted  approximate") + 1].startswith("  `tools.get_column_values` reads rows from the warehouse.")
    assert lines[lines.index("broken  unknown") + 1].startswith("  The SQL could not be parsed")
    assert "  not in dbt's graph: legacy.crm.accounts" in lines
    assert "         └─ raw.orders.id  source" in lines
    status, output, errors = await freshet(
        "extract", str(project), "--columns", "--select", "orders.statuss", data_dir=tmp_path / "data", DOCKER_HOST=engine.url
    )
    assert (status, output) == (1, "")
    assert "`orders.statuss` names no column of orders. Did you mean orders.status?" in errors


async def test_a_format_that_cannot_show_columns_is_refused_before_dbt_runs(tmp_path: Path) -> None:
    status, _, errors = await freshet("extract", str(PROJECT), "--columns", "--format", "dot", data_dir=tmp_path)
    assert (status, "Parse with dbt" in errors) == (2, False)
    assert "--format dot cannot show --columns" in errors


@pytest.mark.parametrize(
    ("labels", "end", "reason"),
    [
        ({COLUMNS_LABEL: "0"}, "", "was built by an earlier release of Freshet, which did not read columns. Rebuild it with `make image`."),
        ({}, "answer(columns_bytes=0, error='the SQL was too much, token=abc123')\n", "the SQL was too much, token=***."),
    ],
    ids=["an older image", "a container that fails"],
)
async def test_without_columns_the_graph_is_printed_and_the_reason_too(
    docker: aiodocker.Docker, tmp_path: Path, labels: dict[str, str], end: str, reason: str
) -> None:
    image = await build_runner(docker, f"no-columns-{len(labels)}", f"{SPEAKS}say({json.dumps(MANIFEST).encode()!r})\n{end}", labels)
    target = tmp_path / "lineage.json"
    options = ("--columns", "--select", "orders.total", "--json", str(target))
    used = {"DBT_DOCKER_IMAGE": image, "DBT_DOCKER_IMAGES": image}
    status, output, errors = await freshet("extract", str(PROJECT), *options, data_dir=tmp_path / "data", **used)
    assert (status, "1 node selected" in output, "Columns:" in output) == (1, True, False), errors
    assert "Columns: none. While reading the columns of" in errors
    assert reason in errors
    document = json.loads(target.read_bytes())
    assert [node["name"] for node in document["nodes"]] == ["orders"]
    assert (document["columns"]["nodes"], document["columns"]["edges"]) == ([], [])
    assert reason in document["columns"]["columns_reason"]
