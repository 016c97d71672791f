"""Models that hand on all rows and columns of one node, and nothing else.

One that is put between two others, or taken away, is followed by the SQL of those below it, which reads another table with the same data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest

from app.lineage.column_digests import hands_on
from app.lineage.impact.definition_changes import config
from app.lineage.impact.deltas import Delta
from app.lineage.impact.mentions import bare, is_same, tokens
from app.lineage.impact.renames import Renames
from app.lineage.impact.versions import (
    ImpactSide,
    ImpactVersion,
    NodeFacts,
    SideColumns,
    SideEdge,
    definition_of,
    facts_of,
    folded,
    traced_of,
)

TABLES = frozenset({"table", "view", "materialized_view", "dynamic_table"})
"""Materialisations that have a table of their own with all rows that the query has now."""
BESIDE = ("pre-hook", "post-hook", "pre_hook", "post_hook", "sql_header")
"""Configurations with SQL that does something else."""
MAX_READ = 20
"""Such models that one node reads."""


@dataclass(slots=True)
class Passing:
    """Such models that only one side has, and the nodes whose data they have, by unique_id."""

    base: Mapping[str, str] = field(default_factory=dict)
    head: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.base or self.head)


def passing(versions: Iterable[ImpactVersion], side: ImpactSide) -> dict[str, str]:
    """Those of a side's nodes that hand everything on, and from where, through others of them."""
    columns = SideColumns(side)
    found = {version.unique_id: one for version in versions if (one := _passed_on(version, columns)) is not None}
    ends: dict[str, str] = {}
    for start in found:
        path: dict[str, None] = {}
        one = start
        while one in found and one not in ends and one not in path:
            path[one] = None
            one = found[one]
        ends.update(dict.fromkeys(path, ends.get(one, one)))
    return ends


def _passed_on(version: ImpactVersion, columns: SideColumns) -> str | None:
    if len(version.upstream) != 1 or version.status != "exact":
        return None
    facts, upstream = facts_of(version.content), version.upstream[0]
    traced = traced_of(version) if facts.resource_type == "model" and facts.materialized in TABLES else None
    if traced is None or traced.sql is None:
        return None
    node, above = columns.node(upstream), columns.made(upstream)
    is_known = node is not None and node.status == "exact" and above is not None and not above.open
    names = [one.name for one in above.columns] if above is not None and is_known else None
    settings = config(definition_of(version.definition) or {})
    return upstream if hands_on(traced.sql, upstream, names) and not any(settings.get(key) for key in BESIDE) else None


def only_passes(
    delta: Delta,
    codes: tuple[str, str],
    found: Passing,
    sides: tuple[ImpactSide, ImpactSide],
    columns: tuple[SideColumns, SideColumns],
    renames: Renames,
) -> bool:
    """Whether the SQL of a node is the same but for tables that hand on the data of those that it read before, or read through them."""
    ids = delta.base_id, delta.unique_id
    above = [_above(side, one) for side, one in zip(sides, ids, strict=True)]
    ways = [{one: ends[one] for one in nodes if one in ends} for nodes, ends in zip(above, (found.base, found.head), strict=True)]
    if delta.removed or delta.added or not any(ways) or sum(map(len, ways)) > MAX_READ:
        return False
    before, after = (_ends(one.into_node(node), way) for one, node, way in zip(columns, ids, ways, strict=True))
    old_above, new_above = ({way.get(one, one) for one in nodes} for nodes, way in zip(above, ways, strict=True))
    if renames.edges(before) != after or {renames.nodes.get(one, one) for one in old_above} != new_above:
        return False
    ends = {end: end for way in ways for end in way.values()}
    old, new = (_with_ends(tokens(code), _tables(side, way | ends)) for code, side, way in zip(codes, sides, ways, strict=True))
    words = _words(sides, ways, old, new)
    return all(is_same(one, other, words) for one, other in zip_longest(old, new, fillvalue="\0"))


def _above(side: ImpactSide, unique_id: str) -> list[str]:
    """The nodes that a node depends on."""
    position = side.graph.position(unique_id)
    return [] if position is None else [side.graph.nodes[one].unique_id for one in side.graph.parents[position]]


def _ends(edges: Iterable[SideEdge], way: Mapping[str, str]) -> frozenset[SideEdge]:
    return frozenset(SideEdge(way.get(one.upstream, one.upstream), one.column, one.subtype, one.certain) for one in edges)


def _tables(side: ImpactSide, way: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """The names of the tables, by their tokens, and what stands for the one whose data they have."""
    found = {}
    for one, end in way.items():
        table = tuple(tokens(_facts(side, one).relation_name or ""))
        if len(table) > 1:  # a lone word may be anything
            found[table] = f"\0{end}"
    return found


def _facts(side: ImpactSide, unique_id: str) -> NodeFacts:
    position = side.graph.position(unique_id)
    return NodeFacts() if position is None else facts_of(side.graph.nodes[position].content)


def _with_ends(found: Iterable[str], tables: Mapping[tuple[str, ...], str]) -> list[str]:
    """The tokens of SQL with one in place of each of these tables."""
    text = "".join(f"\0{token}\1" for token in found)
    for table, end in tables.items():
        text = text.replace("".join(f"\0{token}\1" for token in table), f"\0{end}\1")
    return text[1:-1].split("\1\0")


def _words(sides: tuple[ImpactSide, ImpactSide], ways: list[dict[str, str]], old: list[str], new: list[str]) -> dict[str, str]:
    """Names of tables whose schema is not known, and of CTEs that have their names: only if none is a name of anything else."""
    words: dict[str, str] = {}
    named = [{bare(one) for one in found} for found in (old, new)]
    behind = {bare(one) for found in (old, new) for point, one in pairwise(found) if point == "."}
    for side, way, is_base in zip(sides, ways, (True, False), strict=True):
        for one, end in way.items():
            here, there = (folded(_facts(side, node).name) for node in (one, end))
            was, now = (here, there) if is_base else (there, here)
            if was not in named[1] and now not in named[0] and not behind & {was, now}:
                words[was] = now
    return words
