"""Which node of one project is, or makes, which node of another, why, and whether that is certain."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from app.core.plurals import count
from app.lineage.graph import GraphNode
from app.lineage.impact.losses import MAKERS, NO_TABLE
from app.lineage.impact.tables import FILES, KEY_BYTES, names_one_table, same_warehouse
from app.lineage.organisation.joins import JoinReason
from app.lineage.organisation.projects import JoinFacts, facts

MAX_CANDIDATES = 10
"""Nodes that may be meant by one: more are counted."""


class Made(NamedTuple):
    """A table that a node makes. `node`: its id in the graph."""

    node: str
    name: str
    adapter_type: str | None


class Owned(NamedTuple):
    """A node of a project's own, as that project has it."""

    node: str
    facts: JoinFacts


class Verdict(NamedTuple):
    """Whether a join is certain, and why (not), as a clause."""

    certain: bool
    detail: str


def made_table(node: GraphNode, *, is_own: bool) -> str | None:
    """The table that a node makes itself; None if there is none, or if its name is not known."""
    if node.resource_type not in MAKERS:
        return None
    found = facts(node)
    return None if found.materialized == NO_TABLE or (found.is_external and not is_own) else found.relation_name


def node_key(unique_id: str) -> bytes:
    """What a node is found by: the same as `node_key` in PostgreSQL."""
    return hashlib.sha256(unique_id.encode()).digest()[:KEY_BYTES]


def is_table(source: str, adapter_type: str | None, made: Made) -> bool:
    """Whether a source, by its name, can be a table."""
    return names_one_table(source, adapter_type, made.name, made.adapter_type)


def of_relation(adapter_type: str | None, made: Made, makers: int) -> Verdict:
    """The verdict about a source that is one of the tables of `makers` nodes."""
    if makers > 1:
        return Verdict(certain=False, detail=f"{count(makers, 'node')} make a table of this name")
    if not same_warehouse(adapter_type, made.adapter_type):
        if adapter_type == made.adapter_type and adapter_type in FILES:
            return Verdict(certain=False, detail=f"the names are the same, but databases of {adapter_type} are files")
        return Verdict(certain=False, detail="the names are the same, but the projects are parsed for different adapters")
    return Verdict(certain=True, detail="the source names the table that the node makes")


def of_copy(copy: JoinFacts, owners: Sequence[Owned]) -> tuple[JoinReason, Verdict]:
    """The verdict about a node that a project has of another one, and about each of those that may be meant."""
    reason: JoinReason = "reference" if copy.is_external else "package"
    if len(owners) > 1:
        return reason, Verdict(certain=False, detail=f"{count(len(owners), 'project')} of this name have such a node")
    owner = owners[0].facts
    if copy.is_external:
        if owner.access == "public":
            return reason, Verdict(certain=True, detail="the project refers to a public model of the other one")
        return reason, Verdict(certain=False, detail="the project refers to a model that is not public")
    if copy.original_file_path == owner.original_file_path:
        return reason, Verdict(certain=True, detail="the other project is installed as a package")
    return reason, Verdict(certain=False, detail="a package of the project has the name of the other one, but another file")
