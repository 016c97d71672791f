"""`make catalogs`: gives OpenMetadata's own reader the events of a project, and compares what it reads with what there is.

    python -m tests.catalogs [--python PROGRAM]

`--python`: an environment with `catalogs.txt`, in place of the one that is made in `.cache/catalogs`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from app.lineage.column_graph import ColumnGraph
from app.lineage.formats import openlineage
from app.lineage.formats.openlineage import OpenLineageLinks
from app.lineage.formats.openlineage_names import OpenLineageNames
from app.lineage.graph import GraphFilter
from tests.unit.test_column_formats import node
from tests.unit.test_column_graph import graph_of, line
from tests.unit.test_formats import HEADING

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HOME = ROOT / ".cache" / "catalogs"
TIME_S = 900
NAMESPACE = "snowflake://acme-prod"
SCRIPT = re.compile(r"```python\n(.*?)```", re.DOTALL)
RAW, BASE, ORDERS, TOTALS = "source.shop.erp.orders", "model.shop.base", "model.shop.orders", "model.shop.totals"
TABLES = ("ERP.RAW.ORDERS", "ANALYTICS.PROD.ORDERS", "ANALYTICS.PROD.TOTALS")
"""As OpenMetadata has them from Snowflake."""
EDGES = [
    [
        "warehouse.ANALYTICS.PROD.ORDERS",
        "warehouse.ANALYTICS.PROD.TOTALS",
        [[["warehouse.ANALYTICS.PROD.ORDERS.amount"], "warehouse.ANALYTICS.PROD.TOTALS.total"]],
    ],
    [
        "warehouse.ERP.RAW.ORDERS",
        "warehouse.ANALYTICS.PROD.ORDERS",
        [
            [["warehouse.ERP.RAW.ORDERS.amount"], "warehouse.ANALYTICS.PROD.ORDERS.amount"],
            [["warehouse.ERP.RAW.ORDERS.id"], "warehouse.ANALYTICS.PROD.ORDERS.id"],
        ],
    ],
]
"""What has to be read: the ephemeral model between the source and `orders` is no table."""


def project() -> ColumnGraph:
    """A source, an ephemeral model, and two tables."""
    nodes = [
        node(BASE, materialized="ephemeral", relation_name=None),
        node(ORDERS, relation_name="analytics.prod.orders", description="One row for each order.", owner="Finance"),
        node(TOTALS, relation_name="analytics.prod.totals"),
        node(RAW, relation_name="erp.raw.orders"),
    ]
    columns = [
        line(BASE, ["id", "amount"], [(RAW, "id", "id", "IDENTITY", True), (RAW, "amount", "amount", "TRANSFORMATION", True)]),
        line(ORDERS, ["id", "amount"], [(BASE, "id", "id", "IDENTITY", True), (BASE, "amount", "amount", "IDENTITY", True)]),
        line(TOTALS, ["total"], [(ORDERS, "amount", "total", "AGGREGATION", True), (ORDERS, "id", None, "FILTER", True)]),
        line(RAW, ["id", "amount"]),
    ]
    return graph_of(nodes, columns)


def exported() -> list[dict[str, Any]]:
    """The events of the project."""
    columns = project()
    links = OpenLineageLinks("https://github.com/octo/shop", OpenLineageNames(NAMESPACE))
    found: list[dict[str, Any]] = json.loads(
        b"".join(openlineage.render(HEADING, columns.graph.select(GraphFilter()), links, columns.whole()))
    )
    return found


def as_runs(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, by the script of the page."""
    [script] = SCRIPT.findall((ROOT / "docs" / "openlineage.md").read_text())
    ran = subprocess.run([sys.executable, "-c", script], input=json.dumps(events), capture_output=True, text=True, check=True, timeout=60)
    return list(map(json.loads, ran.stdout.splitlines()))


def read(python: str, events: list[dict[str, Any]]) -> dict[str, Any]:
    """What OpenMetadata reads."""
    command = [python, str(HERE / "openmetadata_reader.py"), NAMESPACE, *(f"warehouse.{table}" for table in TABLES)]
    ran = subprocess.run(command, input=json.dumps(events), capture_output=True, text=True, check=False, timeout=TIME_S)
    if ran.returncode:
        sys.exit(f"the reader failed:\n{ran.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def installed() -> str:
    """The program of an environment with `catalogs.txt`."""
    stamp, wanted = HOME / "installed.txt", (HERE / "catalogs.txt").read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing OpenMetadata's reader into {HOME.relative_to(ROOT)} (some minutes)", flush=True)
        venv.create(HOME, clear=True, with_pip=True)
        pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(HERE / "catalogs.txt")]
        subprocess.run([str(HOME / "bin" / "python"), *pip], check=True, timeout=TIME_S)
        stamp.write_text(wanted)
    return str(HOME / "bin" / "python")


def main() -> int:
    """Return 0 if everything is read as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.catalogs")
    parser.add_argument("--python", default=None)
    python = parser.parse_args().python or installed()
    events = exported()
    runs, static = read(python, as_runs(events)), read(python, events)
    wrong = []
    if runs["edges"] != EDGES:
        wrong.append(f"edges: {json.dumps(runs['edges'], indent=1)}")
    if runs["refused"]:
        wrong.append(f"refused: {runs['refused']}")
    if static["edges"] or len(static["refused"].get("kafka", ())) != len(events):
        wrong.append("OpenMetadata reads events without runs now: say so in docs/openlineage.md")
    print("\n".join(wrong) or f"OpenMetadata reads {len(EDGES)} edges between tables, with columns, of {len(events)} events")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
