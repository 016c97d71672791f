"""Finds nodes by words in all connections that the caller may see, the best first (`lineage.search.tiers`). Every statement is bounded.

Those who see few connections read the words of these alone, whatever strangers have. For all others, one index has the words of all
connections, and those that they may not see are passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from app.core.models.github import Repository
from app.lineage.search.entries import SearchedNode, node_id, traced_names
from app.lineage.search.tiers import Range, Tier
from app.store import rows
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("search")
STATEMENT_TIMEOUT = "2s"
FEW_CONNECTIONS, MANY_CONNECTIONS = 200, 5_000
"""Up to that number of connections are searched one by one: at once, and after the words of all connections were too many."""
MAX_WORDS = 30_000
"""Words of one range that are looked at."""
STEPS = (100, 500), (2_000, 2_000)
"""Words whose nodes are read, and nodes that are checked: in the first step of a tier, and in further ones."""
MAX_STEPS = 4
"""Further steps for one page."""
COUNTED_WORDS = 2_000
MAX_RANKED, MAX_MATCHING = 2_000, 20_000
"""Nodes with all words that are read: of all tiers at once, and of one tier."""
MAX_SHOWN_BYTES = 64 << 10
"""Of the content of a node, or of its columns. Of longer ones, only the name is shown."""


@dataclass(frozen=True, slots=True)
class SearchPlace:
    """Where a search goes on: behind this hit of this tier."""

    tier: int = 0
    hit: int = -1


@dataclass(frozen=True, slots=True)
class FoundNode:
    """A result."""

    tier: int
    connection_id: str
    repository: Repository
    project_dir: str | None
    project_name: str | None
    sha: str
    node: SearchedNode
    traced: Sequence[str]
    """Columns of the SQL."""


@dataclass(slots=True)
class SearchResults:
    """One page. It can be short, even if `after` is not None: there may be more."""

    found: list[FoundNode] = field(default_factory=list)
    after: SearchPlace | None = None
    cut: bool = False
    """Words that match were left out, because there are too many."""


class Search:
    """Nodes by words."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def find(
        self, tiers: Sequence[Tier], *, listed: Sequence[int] | None, connection_id: str | None, after: SearchPlace, limit: int
    ) -> SearchResults:
        """Return at most `limit` results after a place.

        `listed`: the private repositories to include, besides public ones; None: all. `connection_id`: only this one, which the caller may
        see. What is not in its connection's lineage any more is left out, so a page can be short.
        """
        async with self._db.transaction() as tx:
            await tx.execute(SQL["settings"], STATEMENT_TIMEOUT)
            few = [UUID(connection_id)] if connection_id else await _few(tx, listed, FEW_CONNECTIONS)
            results = SearchResults()
            hits = await _Run(tx, few, listed, results).hits(tiers, after, limit)
            if results.cut and few is None and (few := await _few(tx, listed, MANY_CONNECTIONS)) is not None:
                # It may be the words of others that are too many: nobody is to miss anything for that, nor to be told.
                results = SearchResults()
                hits = await _Run(tx, few, listed, results).hits(tiers, after, limit)
            shown = await tx.rows(SQL["nodes"], list(hits), MAX_SHOWN_BYTES) if hits else []
        results.found = [_found(row, hits[row["id"]]) for row in shown]
        return results


async def _few(tx: Database, listed: Sequence[int] | None, most: int) -> list[UUID] | None:
    """The connections of somebody who sees at most that number; None for all others."""
    if listed is None:
        return None
    visible = await tx.rows(SQL["visible"], listed, most + 1)
    return [row["id"] for row in visible] if len(visible) <= most else None


@dataclass(frozen=True, slots=True)
class _Step:
    """Some hits of a tier, complete up to `last`; None: there are no more."""

    hits: Sequence[int]
    last: int | None
    cut: bool


class _Run:
    """One search: in `few` connections, or (None) in all with these private repositories (None: all)."""

    def __init__(self, tx: Database, few: list[UUID] | None, listed: Sequence[int] | None, results: SearchResults) -> None:
        self._tx, self._few, self._listed, self._results = tx, few, listed, results
        self._sizes: dict[Range, int] = {}
        self._matched: int | None = None
        """The last tier whose nodes with all words were read."""
        self._has_ranked = False

    async def hits(self, tiers: Sequence[Tier], after: SearchPlace, limit: int) -> dict[int, int]:
        """The tiers of the nodes found, in order. Sets `after` and `cut` of the results."""
        found: dict[int, int] = {}
        left = MAX_STEPS
        for tier in tiers:
            place = _beginning(tier, after)
            ranges = await self._rarest(tier) if place is not None else ()
            most = STEPS[0]
            while ranges and place is not None:
                if not left or len(found) == limit:
                    self._results.after = place
                    return found
                if await self._rank(tiers, tier, place, limit, found):
                    return found
                missing = limit - len(found)
                step = await self._look(tier, ranges, place, missing + 1, most)
                self._results.cut |= step.cut
                found.update((node_id(hit), tier.number) for hit in step.hits[:missing])
                if len(step.hits) > missing:
                    self._results.after = SearchPlace(tier.number, step.hits[missing - 1])
                    return found
                left -= most != STEPS[0]
                place, most = None if step.last is None else SearchPlace(tier.number, step.last), STEPS[1]
        return found

    async def _rank(self, tiers: Sequence[Tier], tier: Tier, after: SearchPlace, limit: int, found: dict[int, int]) -> bool:
        """After one tier had few nodes with all words: find what is left of all tiers at once; False: that is too much."""
        if self._matched in (None, tier.number) or self._has_ranked:
            return False
        self._has_ranked = True
        left = [one for one in tiers if one.number >= tier.number]
        numbers, conditions = [one.number for one in left], [one.condition for one in left]
        [row] = await self._tx.rows(SQL["rank_all"], left[-1].reached, self._listed, numbers, conditions, MAX_RANKED)
        if row["cut"]:
            return False
        places = [SearchPlace(*one) for one in zip(row["tiers"], row["hits"], strict=True)]
        places = [one for one in places if (one.tier, one.hit) > (after.tier, after.hit)]
        missing = limit - len(found)
        found.update((node_id(one.hit), one.tier) for one in places[:missing])
        if len(places) > missing:
            self._results.after = places[missing - 1]
        return True

    async def _look(self, tier: Tier, ranges: Sequence[Range], after: SearchPlace, limit: int, most: tuple[int, int]) -> _Step:
        """Take a step: first among candidates with one of the words. If those with all words are not many of them, then by all words."""
        if most != STEPS[0] and len(tier.choices) > 1 and self._few is None:
            self._matched = tier.number
            [row] = await self._tx.rows(SQL["match_all"], tier.condition, after.hit, limit, self._listed, MAX_MATCHING)
            return _Step(row["hits"], None, row["cut"])
        seen = self._listed if self._few is None else self._few
        [row] = await self._tx.rows(self._statement("find"), *_split(ranges), tier.condition, after.hit, limit, seen, MAX_WORDS, *most)
        if row["last"] is None or row["last"] > after.hit:
            return _Step(row["hits"], row["last"], row["cut"])
        # So many words have nodes before this place that none behind it was reached.
        return _Step(row["hits"], after.hit, row["cut"]) if most == STEPS[0] else _Step(row["hits"], None, cut=True)

    async def _rarest(self, tier: Tier) -> Sequence[Range]:
        """The choice with the fewest nodes; empty if one of them has none."""
        if len(tier.choices) == 1:
            return tier.choices[0]
        new = list({one for choice in tier.choices for one in choice} - self._sizes.keys())
        if new:
            few = () if self._few is None else (self._few,)
            counted = await self._tx.rows(self._statement("count"), *_split(new), COUNTED_WORDS, *few)
            self._sizes.update(zip(new, (row["nodes"] for row in counted), strict=True))
        sizes = [sum(self._sizes[one] for one in choice) for choice in tier.choices]
        return tier.choices[sizes.index(min(sizes))] if min(sizes) else ()

    def _statement(self, name: str) -> str:
        return SQL[f"{name}_{'all' if self._few is None else 'of'}"]


def _beginning(tier: Tier, after: SearchPlace) -> SearchPlace | None:
    """Where the search of a tier begins; None: it was finished before."""
    if tier.number < after.tier:
        return None
    return after if tier.number == after.tier else SearchPlace(tier.number)


def _split(ranges: Sequence[Range]) -> tuple[list[str], list[str]]:
    return [low for low, _ in ranges], [high for _, high in ranges]


def _found(row: asyncpg.Record, tier: int) -> FoundNode:
    return FoundNode(
        tier=tier,
        connection_id=str(row["connection_id"]),
        repository=rows.repository(row),
        project_dir=row["project_dir"],
        project_name=row["project_name"],
        sha=row["sha"],
        node=rows.searched_node(row),
        traced=traced_names(row["columns"]),
    )
