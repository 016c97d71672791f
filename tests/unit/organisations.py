"""Organisations of projects that read each other's tables, with what is true of them: pure, from a seed.

A table is what the warehouse has: its database, schema and name as they are stored. Each project writes them as its warehouse lets it, in
another case or with quotes, so what is true does not depend on how names are compared.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.lineage.graph import Graph, GraphNode
from app.lineage.organisation.projects import JoinedProject, ProjectKey

WAREHOUSES = ("snowflake", "postgres", "bigquery", "databricks", "redshift")
SENSITIVE = ("snowflake", "postgres", "bigquery")
"""Two tables whose names differ by case alone can be there."""
SUBJECTS = ("orders", "customers", "payments", "events", "sessions", "items", "refunds", "stores")
Table = tuple[str, str, str]


def node(unique_id: str, **content: Any) -> GraphNode:
    """A node with what joins depend on."""
    kind, package, *rest = unique_id.split(".")
    told: dict[str, Any] = {"unique_id": unique_id, "resource_type": kind, "name": rest[-1], "package_name": package, "tags": []}
    told |= {"original_file_path": f"models/{rest[-1]}.sql", "relation_name": None, "materialized": None, "access": "protected"}
    return GraphNode(unique_id, kind, rest[-1], package, orjson.dumps(told | content))


def project(
    repository: str,
    nodes: Mapping[str, Iterable[str]],
    told: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    name: str | None = None,
    adapter_type: str = "postgres",
) -> JoinedProject:
    """A project of nodes with what they depend on; `told` has what joins depend on."""
    key = ProjectKey(f"id-{repository}", repository, "", name or repository.partition("/")[2], adapter_type)
    return JoinedProject(key, Graph([node(one, **(told or {}).get(one, {})) for one in nodes], [list(above) for above in nodes.values()]))


@dataclass
class Organisation:
    """Projects, and the pairs (maker, source) that are true: those that are certain, and those of which each may be meant."""

    projects: list[JoinedProject] = field(default_factory=list)
    certain: set[tuple[str, str]] = field(default_factory=set)
    ambiguous: set[tuple[str, str]] = field(default_factory=set)


def generated(seed: int, count: int = 200, tables: int = 12, sources: int = 8) -> Organisation:
    """An organisation of `count` projects in five warehouses."""
    chosen = random.Random(seed)  # noqa: S311 - no secret
    drafts = [_Draft(f"acme/p{number}", WAREHOUSES[number % len(WAREHOUSES)]) for number in range(count)]
    for number, draft in enumerate(drafts):
        for position in range(tables):
            draft.make(chosen, (f"db{number % 7}", f"area{number}", f"{SUBJECTS[position % len(SUBJECTS)]}_{position}"))
        if draft.warehouse in SENSITIVE and chosen.random() < 0.3:
            draft.make_twin(chosen)
    for draft in chosen.sample(drafts, count // 10):
        other = chosen.choice([one for one in drafts if one.warehouse == draft.warehouse and one is not draft])
        draft.make(chosen, chosen.choice(list(other.made))[0:3])
    by_table: dict[tuple[str, Table], list[str]] = {}
    for draft in drafts:
        for table, maker in draft.made.items():
            by_table.setdefault((draft.warehouse, table), []).append(maker)
    found = Organisation()
    for draft in drafts:
        alike = [one for one in drafts if one.warehouse == draft.warehouse and one is not draft]
        for _ in range(sources):
            table = chosen.choice(list(chosen.choice(alike).made))
            if table not in draft.made:
                source = draft.read(chosen, table)
                makers = by_table[draft.warehouse, table]
                (found.certain if len(makers) == 1 else found.ambiguous).update((maker, source) for maker in makers)
        draft.mislead(chosen, alike)
        found.projects.append(draft.finish())
    return found


@dataclass
class _Draft:
    repository: str
    warehouse: str
    made: dict[Table, str] = field(default_factory=dict)
    nodes: dict[str, list[str]] = field(default_factory=dict)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.repository.partition("/")[2]

    def make(self, chosen: random.Random, lower: Table) -> None:
        """Make a table, whose name is stored as this warehouse stores one without quotes."""
        self._make(chosen, _stored(lower, self.warehouse))

    def make_twin(self, chosen: random.Random) -> None:
        """Make a table whose name differs from another one by case alone."""
        database, schema, name = chosen.choice(list(self.made))
        self._make(chosen, (database, schema, name.swapcase()))

    def read(self, chosen: random.Random, table: Table) -> str:
        return self._read(_written(chosen, table, self.warehouse))

    def mislead(self, chosen: random.Random, alike: list[_Draft]) -> None:
        """Read what nobody makes: tables of other databases, with other names, or with a name that is not known."""
        database, schema, name = chosen.choice(list(chosen.choice(alike).made))
        self._read(_written(chosen, (f"{database}x", schema, name), self.warehouse))
        self._read(_written(chosen, (database, schema, f"{name}_old"), self.warehouse))
        self._read(_written(chosen, (database, schema, name), self.warehouse).partition(".")[2])
        self._read(None)

    def finish(self) -> JoinedProject:
        return project(self.repository, self.nodes, self.told, adapter_type=self.warehouse)

    def _make(self, chosen: random.Random, table: Table) -> None:
        if table not in self.made:
            model = f"{chosen.choice(('model', 'seed', 'snapshot'))}.{self.name}.m{len(self.made)}"
            self.nodes[model] = []
            self.told[model] = {"relation_name": _written(chosen, table, self.warehouse), "materialized": "table"}
            self.made[table] = f"{self.repository}:{model}"

    def _read(self, relation: str | None) -> str:
        source = f"source.{self.name}.raw.s{len(self.nodes)}"
        self.nodes[source] = []
        self.told[source] = {"relation_name": relation}
        return f"{self.repository}:{source}"


def _stored(lower: Table, warehouse: str) -> Table:
    database, schema, name = lower
    return (database.upper(), schema.upper(), name.upper()) if warehouse == "snowflake" else lower


def _written(chosen: random.Random, table: Table, warehouse: str) -> str:
    """A name for a table: another spelling is possible wherever the warehouse takes it for the same name."""
    return ".".join(_part(chosen, text, warehouse) for text in table)


def _part(chosen: random.Random, text: str, warehouse: str) -> str:
    cases = (text, text.lower(), text.upper(), text.title())
    match warehouse:
        case "snowflake" if text == text.upper():
            return chosen.choice((f'"{text}"', *cases))
        case "postgres" if text == text.lower():
            return chosen.choice((f'"{text}"', *cases))
        case "databricks":
            return f"`{chosen.choice(cases)}`"
        case "redshift":
            return f'"{chosen.choice(cases)}"'
        case "bigquery":
            return f"`{text}`"
        case _:
            return f'"{text}"'
