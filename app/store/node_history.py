"""The history of one node on a branch, from the lineages that are stored: nothing of it is kept besides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from uuid import UUID

import asyncpg
import msgspec

from app.core.models.extractions import CommitFacts
from app.lineage import node_history
from app.lineage.diff import NodeVersion
from app.lineage.node_history import NodeChange, NodeState
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("node_history")
MAX_COMMITS = 100
"""Commits that are looked at, without those at which nothing that dbt reads changed."""
MAX_VERSIONS = 30
"""Versions of a node that are told apart."""
MAX_CHANGES = 20
"""Changes that are listed."""
MAX_CONTENT = 1 << 20
"""Stored bytes of a version beyond which it is not compared."""
NEWEST = 2**62


@dataclass(frozen=True, slots=True)
class HistoricCommit:
    """A commit of the branch, and the extraction that reached it."""

    sha: str
    extraction_id: str
    pushed_at: datetime
    facts: CommitFacts | None
    """None: an earlier release extracted it."""


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """A commit that changed the node. `before`: the commit with which it was compared; others may lie between them."""

    commit: HistoricCommit
    before: str
    change: NodeChange | None
    """None: not known, the versions are too big to be compared."""
    classes: tuple[str, ...] = ()
    """`impact.model.ChangeClass`es, as far as the extraction lists them."""


@dataclass(frozen=True, slots=True)
class NodeHistory:
    """The changes, newest first."""

    events: tuple[NodeEvent, ...] = ()
    since: HistoricCommit | None = None
    """The oldest commit that was compared; None: there is none."""

    def blame(self, columns: Sequence[str]) -> dict[str, HistoricCommit]:
        """For each column, by name, the commit that last changed it; those that are older than the history are left out."""
        found = node_history.blame([event.change for event in self.events], columns)
        return {name: self.events[place].commit for name, place in found.items()}


@dataclass(frozen=True, slots=True)
class _Step:
    commit: HistoricCommit
    node: int | None
    columns: int | None
    unread: bool

    @property
    def state(self) -> tuple[int | None, int | None]:
        return self.node, self.columns


class NodeHistories:
    """Histories by connection and unique_id."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def read(self, connection_id: str, branch: str, unique_id: str, until: str | None = None) -> NodeHistory:
        """Read the history on a branch, up to the commit `until` if the branch has it."""
        key = UUID(connection_id)
        position = None if until is None else await self._db.value(SQL["position"], key, branch, until)
        limits = MAX_COMMITS, position or NEWEST, MAX_VERSIONS
        steps = [_step(row) for row in await self._db.rows(SQL["steps"], key, branch, unique_id, *limits)]
        if not any(step.node for step in steps):
            return NodeHistory()
        end = next((place for place, step in enumerate(steps) if step.unread and step.node is None), len(steps))
        steps = steps[:end]
        pairs = [(new, old) for new, old in pairwise(steps) if new.state != old.state][:MAX_CHANGES]
        since = pairs[-1][1] if len(pairs) == MAX_CHANGES else steps[-1]
        states = await self._states([step for pair in pairs for step in pair])
        classes = await self._classes(pairs, unique_id)
        events = []
        for new, old in pairs:
            before, after = states.get(old.state), states.get(new.state)
            change = node_history.change(before, after) if before and after else None
            if change is not None or before is None or after is None:
                found = classes.get(new.commit.extraction_id, ())
                events.append(NodeEvent(new.commit, old.commit.sha, change, found))
        return NodeHistory(tuple(events), since.commit)

    async def _states(self, steps: Sequence[_Step]) -> dict[tuple[int | None, int | None], NodeState]:
        """The states of steps, without those that are too big."""
        nodes = {step.node for step in steps if step.node is not None}
        columns = {step.columns for step in steps if step.columns is not None}
        versions = {row["id"]: _version(row) for row in await self._db.rows(SQL["nodes"], list(nodes), MAX_CONTENT)}
        contents = {row["id"]: row["content"] for row in await self._db.rows(SQL["columns"], list(columns), MAX_CONTENT)}
        return {
            step.state: NodeState(versions.get(step.node), contents.get(step.columns))
            for step in steps
            if step.node is None or step.node in versions
        }

    async def _classes(self, pairs: Sequence[tuple[_Step, _Step]], unique_id: str) -> dict[str, tuple[str, ...]]:
        ids = [UUID(new.commit.extraction_id) for new, _ in pairs]
        return {str(row["id"]): tuple(row["classes"]) for row in await self._db.rows(SQL["classes"], ids, unique_id)}


def _step(row: asyncpg.Record) -> _Step:
    facts = msgspec.json.decode(row["commit"], type=CommitFacts | None) if row["commit"] else None
    commit = HistoricCommit(row["sha"], str(row["id"]), row["created_at"], facts)
    return _Step(commit, row["node_id"], row["columns_id"] if row["has_columns"] else None, row["unread"])


def _version(row: asyncpg.Record) -> NodeVersion:
    return NodeVersion(row["unique_id"], row["content"], row["upstream"], row["sql_hash"], row["config_hash"])
