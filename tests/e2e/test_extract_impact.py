"""`extract --base`, with a real project; the engine is a double."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.test_cli import committed, freshet
from tests.engine import EngineDouble


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A work tree in which a column has another name, and a model has a comment."""
    committed(tmp_path / "shop")
    models = tmp_path / "shop" / "models"
    staging = models / "staging" / "stg_rentals.sql"
    staging.write_text(staging.read_text().replace("as rental_status", "as status_of_rental"))
    days = models / "marts" / "days.sql"
    days.write_text(f"-- One row for each day.\n{days.read_text()}")
    return tmp_path / "shop"


async def test_what_a_change_breaks_reaches_and_changes_is_printed(engine: EngineDouble, shop: Path, tmp_path: Path) -> None:
    (shop / "CODEOWNERS").write_text("/models/marts/ @kingfisher/marts\n")
    status, output, progress = await freshet("extract", str(shop), "--base", "main", data_dir=tmp_path / "data", DOCKER_HOST=engine.url)
    assert (status, progress.count("Trace columns")) == (0, 2), progress
    assert "Columns:" not in output, "nobody asked for a list of them"
    title, *blocks = output[output.index("Changes since shop at") :].split("\n\n")
    assert title.splitlines()[1].startswith("1 column renamed, ")
    found = {block.split("\n")[0].partition(":")[0]: block for block in blocks}
    broken = found["What breaks"] + found.get("What may break", "")
    assert "a_started_minute_is_charged (unit test) in models/intermediate/_intermediate.yml" in broken
    assert "int_rentals_priced (model) in models/intermediate/int_rentals_priced.sql: `int_rentals_priced` reads `rental_status`" in broken
    assert "→ morning_round (exposure, dashboard, owner Operations, https://dashboards." in found["What is reached"]
    assert "→ dim_customers (mart, owner @kingfisher/marts), 2 edges away" in found["What is reached"]
    assert "~ stg_rentals renamed: `rental_status` of `stg_rentals` is now named `status_of_rental`" in found["What changed"]
    assert "days" not in found["What changed"], "a comment is no change to data"
    assert blocks[-1].endswith("edges: 0 added, 0 removed\n")


async def test_a_format_is_of_the_commit_alone(engine: EngineDouble, shop: Path, tmp_path: Path) -> None:
    options = ("--base", "main", "--format", "json")
    status, output, progress = await freshet("extract", str(shop), *options, data_dir=tmp_path, DOCKER_HOST=engine.url)
    assert (status, "Trace columns" in progress) == (0, False), progress
    document = json.loads(output)
    assert ("columns" in document, [node["owner"] for node in document["nodes"] if node["name"] == "days"]) == (False, [None])
