"""How long it takes to say what a change does, from two stored lineages: `python -m tests.bench.impact [--rounds N]`.

A generated project of 1,000 models with tests and columns, and one of 10,000 nodes, 25,000 edges and a million edges between columns. Each
change is compared with the graphs in memory (warm) and with a cache that has just begun (cold), over a PostgreSQL of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import statistics
import tempfile
import time
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

import orjson

from app.core.models.github import Repository
from app.lineage.impact.model import Impact
from app.lineage.nodes import HASH_BYTES, Lineage, Node
from app.pipeline.decoding import spooled_columns
from app.pipeline.decoding.spooled_columns import ColumnsScope, SpooledColumns
from app.store import Store, embedded, migrate, pool
from app.store.lineage_cache import LineageCache

BASE = "1" * 40
HEAD = b'{"version": 1, "dialect": "duckdb", "engine": "sqlglot", "dbt_version": "1.11.16"}'
SQL = (
    "    case when {column} > 0 then round({column} * 100.0 / nullif(sum({column}) over (partition by id), 0), 2) else 0 end as {column},\n"
)


@dataclass(frozen=True)
class Size:
    """A generated project. Each column of a model depends on `width` columns of each parent."""

    models: int
    columns: int
    parents: int
    width: int
    tests: int


SIZES = {"1,000 models": Size(1000, 20, 2, 1, 2), "10,000 nodes": Size(4000, 42, 3, 2, 1)}


@dataclass(frozen=True)
class Change:
    """Which models differ at the head: their logic, a removed column, or only what is no data."""

    name: str
    logic: Collection[int] = ()
    removed: Collection[int] = ()
    redefined: Collection[int] = ()


@dataclass
class Project:
    """One commit of the generated project."""

    size: Size
    change: Change = field(default_factory=lambda: Change("base"))

    def parents(self, number: int) -> list[int]:
        """The models that one reads: a few of those before it."""
        random = Random(number)  # noqa: S311 - reproducible, not secret
        return sorted({random.randrange(max(0, number - 400), number) for _ in range(self.size.parents)}) if number >= 50 else []

    def names(self, number: int) -> list[str]:
        """The columns of a model."""
        lost = number in self.change.removed
        return [f"column_{one}" for one in range(self.size.columns - lost)]

    def lineage(self) -> Lineage:
        """All nodes: models and their tests, and dashboards on every 20th model."""
        nodes = []
        for number in range(self.size.models):
            unique_id = _id(number)
            nodes.append(self._node(unique_id, [_id(parent) for parent in self.parents(number)], self.code(number), self.names(number)))
            for test in range(self.size.tests):
                column = f"column_{(number + test) % self.size.columns}"
                more = {"test_name": "not_null", "attached_node": unique_id, "column": column, "arguments": {}}
                nodes.append(self._node(f"test.shop.not_null_{number}_{test}", [unique_id], "", [], more))
            if number % 20 == 0:
                nodes.append(self._node(f"exposure.shop.board_{number}", [unique_id], "", []))
        return Lineage("shop", "1.11.16", "duckdb", "v12", tuple(sorted(nodes, key=lambda node: node.unique_id)))

    def columns(self) -> SpooledColumns:
        """The columns of all models, as they are decoded."""
        lines = [orjson.dumps(self.line(number)) for number in range(self.size.models)]
        rows = tempfile.TemporaryFile()  # noqa: SIM115 - the columns close it
        known = frozenset(map(_id, range(self.size.models)))
        return SpooledColumns(rows, spooled_columns.write(b"\n".join((HEAD, *lines)), ColumnsScope(known), rows))

    def line(self, number: int) -> Mapping[str, object]:
        """The line of a model in the columns document."""
        edges = []
        missing: set[str] = set()
        for place, name in enumerate(self.names(number)):
            for parent in self.parents(number):
                there = set(self.names(parent))
                for step in range(self.size.width):
                    column = f"column_{(place + step) % self.size.columns}"
                    if column in there:
                        edges.append((_id(parent), column, name, "TRANSFORMATION", True))
                    else:
                        missing.add(column)
        changed = "changed" if number in self.change.logic else ""
        return {
            "unique_id": _id(number),
            "status": "exact",
            "rendered": "full",
            "edges": edges,
            "missing": sorted(missing),
            "columns": [(name, None, _digest(name, changed if place == 1 else "")) for place, name in enumerate(self.names(number))],
            "sql": _digest(changed, len(self.names(number))),
            "rows": _digest("rows"),
            "compiled_code": self.code(number),
        }

    def code(self, number: int) -> str:
        """SQL of a usual length."""
        text = (
            "select\n"
            + "".join(SQL.format(column=name) for name in self.names(number))
            + "    id\nfrom "
            + " ".join(map(_id, self.parents(number)))
        )
        return text.replace("100.0", "1000.0") if number in self.change.logic else text

    def _node(self, unique_id: str, upstream: list[str], code: str, columns: list[str], more: Mapping[str, object] | None = None) -> Node:
        kind, package, name = unique_id.split(".")
        number = int(name.split("_")[-1 if kind != "test" else -2])
        described = "other words" if number in self.change.redefined else "words"
        content = {
            "unique_id": unique_id,
            "resource_type": kind,
            "name": name,
            "package_name": package,
            "original_file_path": f"models/{name}.sql",
            "materialized": "table",
            "description": described,
            "owner": f"team {number % 12}",
            "columns": [{"name": column, "data_type": "numeric", "description": "What it says."} for column in columns],
        }
        config: dict[str, object] = {"materialized": "table", "meta": {}, "tags": ["nightly"], "unique_key": None}
        definition = {"config": config, "contract": {"enforced": False}, "raw_code": code, "alias": name, "schema": "prod", **(more or {})}
        return Node(
            unique_id, kind, name, package, orjson.dumps(content), tuple(upstream), b"", _hash(code), _hash(""), orjson.dumps(definition)
        )


def changes(size: Size) -> list[Change]:
    """What is measured."""
    middle = size.models // 20
    return [
        Change("nothing"),
        Change("logic of one model", logic=[middle]),
        Change("a column of one model removed", removed=[middle]),
        Change("a macro: logic of every third model", logic=range(0, size.models, 3)),
        Change("descriptions of all models", redefined=range(size.models)),
    ]


async def save(store: Store, connection_id: str, sha: str, project: Project) -> None:
    """Store a commit as the worker does."""
    lineage, columns = project.lineage(), project.columns()
    await store.extractions.enqueue(connection_id, "main", sha, "push", forced=True)
    extraction = await store.extractions.claim("bench", timedelta(minutes=5))
    assert extraction is not None
    async with store.transaction() as tx:
        await tx.lineages.save(extraction, lineage, b"input", columns_follow=True)
        await tx.columns.save(extraction, columns, b"input")
        await tx.extractions.finish(extraction.id, "bench", "succeeded", [])
    columns.close()


async def measure(db: pool.Database, store: Store, connection_id: str, sha: str, rounds: int) -> tuple[float, float, Impact]:
    """Seconds warm and cold, the median of the rounds."""
    base, head = [await store.lineages.head(connection_id, one) for one in (BASE, sha)]
    assert base is not None
    assert head is not None
    cold: list[float] = []
    warm: list[float] = []
    for _ in range(rounds):
        cache = LineageCache(db, kept_bytes=1 << 30, held_bytes=2 << 30)
        for taken in (cold, warm):
            began = time.perf_counter()
            found = await cache.impact(base, head)
            taken.append(time.perf_counter() - began)
    assert found is not None
    return statistics.median(warm), statistics.median(cold), found


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.impact", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", choices=SIZES, action="append")
    arguments = parser.parse_args()
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        dsn = await stack.enter_async_context(embedded.serve(directory))
        db = await stack.enter_async_context(pool.connect(dsn))
        await migrate.migrate(db)
        store = Store(db)
        await store.installations.update_from_push(Repository(7, "octo/shop", 3, "main"))
        for place, name in enumerate(arguments.size or SIZES):
            connection = await store.connections.create(7, f"p{place}")
            await save(store, connection.id, BASE, Project(SIZES[name]))
            print(f"\n{name}\n| change | warm, s | cold, s | changes | reached | breaks |\n|---|--:|--:|--:|--:|--:|")
            for number, change in enumerate(changes(SIZES[name])):
                sha = f"{number + 2}" * 40
                await save(store, connection.id, sha, Project(SIZES[name], change))
                warm, cold, found = await measure(db, store, connection.id, sha, arguments.rounds)
                counts = [sum(found.counts[key].values()) for key in ("changes", "reached", "breaks")]
                print(f"| {change.name} | {warm:.3f} | {cold:.3f} | {' | '.join(f'{one:,}' for one in counts)} |", flush=True)


def _id(number: int) -> str:
    return f"model.shop.model_{number}"


def _digest(*parts: object) -> str:
    return "1" + hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=HASH_BYTES).digest()


if __name__ == "__main__":
    asyncio.run(main())
