"""The changes that are found, with what follows from them for readers: columns that are gone, new names, where to follow them from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from app.lineage.impact.mentions import MAX_TEXT
from app.lineage.impact.model import Change, ChangeClass
from app.lineage.impact.passing import Passing
from app.lineage.impact.renames import Renames
from app.lineage.impact.versions import ImpactSide, SideColumns

MAX_COMPARED = 32 * MAX_TEXT
"""Characters of compiled code that are compared in all; code beyond that counts as other code."""
AFFECTING: frozenset[ChangeClass] = frozenset({"removed", "renamed", "retyped", "rows", "logic"})
"""Classes that mean other data for readers."""


NodeCodes = tuple[str | None, str | None]
"""The compiled code of a node at the base and at the head, if it has it there; None if there is none, or it is longer than `MAX_TEXT`."""


@dataclass(frozen=True, slots=True)
class GoneColumn:
    """A column that a node no longer has under this name. `root`: the unique_id of the node whose own SQL lost it."""

    name: str
    new_name: str | None
    root: str
    certain: bool


@dataclass(slots=True)
class Starts:
    """From where changes are followed downstream. Columns are pairs of unique_id and name."""

    columns: list[tuple[str, str]] = field(default_factory=list)
    base_columns: list[tuple[str, str]] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)


class Changes:
    """The changes so far."""

    def __init__(self, base: ImpactSide, head: ImpactSide, renames: Renames, passing: Passing) -> None:
        self.found: list[Change] = []
        self.columns: Counter[str] = Counter()
        """Columns of nodes whose own SQL changed, by class."""
        self.gone: dict[str, dict[str, GoneColumn]] = {}
        """By the unique_id at the base, and by folded name."""
        self.added: dict[str, str] = {}
        """The first new column of nodes that have some."""
        self.starts = Starts()
        self.own: set[str] = set()
        """Nodes with an `AFFECTING` change of their own."""
        self.rewritten: set[str] = set()
        """Nodes whose own SQL changed, by the unique_id at the base."""
        self.unbuilt: set[str] = set()
        """Nodes that cannot be built at the head, and what differs below them, by both unique_ids: their tables stay as they are."""
        self.renames = renames
        self.passing = passing
        self.columns_of = {"base": SideColumns(base), "head": SideColumns(head)}
        self.sides = {"base": base, "head": head}
        self._compared = 0

    def add(self, change: Change) -> None:
        """Add a change that was found elsewhere."""
        self.found.append(change)
        if change.change_class == "added" and change.columns:
            self.added.setdefault(change.unique_id, change.columns[0])
        if not change.inherited:
            self.columns[change.change_class] += len(change.columns) + change.more_columns
            if change.change_class in AFFECTING:
                self.own.add(change.unique_id)

    def start_whole_nodes(self) -> None:
        """Follow the changes of whole nodes, once all are added."""
        for change in self.found:
            if change.change_class == "rows":
                self.starts.rows.append(change.unique_id)
            elif change.change_class == "logic" and not change.columns:
                self.starts.models.append(change.unique_id)

    def is_below_unbuilt(self, unique_id: str) -> bool:
        """Whether a node of the head reads one that is not built."""
        graph = self.sides["head"].graph
        position = graph.position(unique_id)
        return position is not None and any(graph.nodes[parent].unique_id in self.unbuilt for parent in graph.parents[position])

    def may_compare(self, codes: NodeCodes) -> bool:
        """Count the code of a node; False once there was too much of it."""
        self._compared += sum(len(code or "") for code in codes)
        return None not in codes and self._compared <= MAX_COMPARED
