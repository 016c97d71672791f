"""dbt's resource types in the graph, one row each. Everything else about resource types derives from here.

The rows are in the order in which counts are shown. Resources of other types (macros, groups, docs) are not in the graph.
Names are dbt's: https://docs.getdbt.com/reference/artifacts/manifest-json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

Shape = Literal["box", "cylinder", "box3d", "tab", "note", "house", "hexagon", "component", "folder", "ellipse"]
"""As Graphviz calls it. A format without such a shape draws a box."""


@dataclass(frozen=True, slots=True)
class ResourceTypeRow:
    """The properties of one resource type."""

    name: str
    """As in `resource_type` of the manifest."""
    letter: str = "?"
    """One or two letters that stand for it in drawings."""
    shape: Shape = "box"
    color: str = "#e7ecf0"
    """In diagrams, behind black text."""
    ink: str = "#59636e"
    """Of its outline and its letter."""
    dark_color: str = "#2a313a"
    """Behind white text, where the reader prefers dark pages."""
    dark_ink: str = "#aab3bd"
    section: str = "nodes"
    """The key of the manifest that its resources are under."""
    is_relation: bool = False
    """Whether it can be a table or view: a dataset in OpenLineage, with columns that can have tests."""
    is_built: bool = False
    """Whether dbt builds it: a job in OpenLineage."""
    has_own_file: bool = False
    """Whether each one is a file, or a part of a file, that dbt's messages name by its unique_id."""

    @property
    def openlineage_job(self) -> str | None:
        """Its `jobType` in OpenLineage; None if dbt does not build it."""
        return self.name.upper() if self.is_built else None

    @property
    def label(self) -> str:
        """The singular, for users."""
        return label(self.name)


def label(name: str) -> str:
    """The name for users: "unit test". Lineages of earlier releases may have types that are not in the table."""
    return name.replace("_", " ")


RESOURCE_TYPES: tuple[ResourceTypeRow, ...] = (
    ResourceTypeRow("model", "M", "box", "#ddeeff", "#0a53a8", "#10304f", "#8cc2ff", is_relation=True, is_built=True, has_own_file=True),
    ResourceTypeRow(
        "seed", "Sd", "cylinder", "#e9f5d3", "#4d6b0d", "#2c3a10", "#c0dc78", is_relation=True, is_built=True, has_own_file=True
    ),
    ResourceTypeRow(
        "snapshot", "Sn", "box3d", "#e6e1fb", "#5a3fb0", "#2e2556", "#c3b2ff", is_relation=True, is_built=True, has_own_file=True
    ),
    ResourceTypeRow("analysis", "A", "tab", has_own_file=True),
    ResourceTypeRow("test", "T", "note", "#fff3c4", "#735c00", "#3d3407", "#ecd36a"),
    ResourceTypeRow("unit_test", "U", "note", "#ffe9cc", "#8a4b00", "#46290a", "#f7b976", section="unit_tests"),
    ResourceTypeRow("source", "S", "cylinder", "#d8f3df", "#14693a", "#12381f", "#7ee2a0", section="sources", is_relation=True),
    ResourceTypeRow("exposure", "E", "house", "#ffe0dc", "#a92b1c", "#4f1d17", "#ffaca1", section="exposures"),
    ResourceTypeRow("metric", "Me", "hexagon", "#fae0f4", "#97207c", "#471539", "#f6a5e1", section="metrics"),
    ResourceTypeRow("semantic_model", "Sm", "component", "#d5f2f2", "#0b6468", "#0d3b3d", "#7fdfe2", section="semantic_models"),
    ResourceTypeRow("saved_query", "Q", "folder", "#f3e8d2", "#7a5310", "#423011", "#e6c184", section="saved_queries"),
    ResourceTypeRow("function", "F", "ellipse", "#eef0cd", "#5d620b", "#33370c", "#d3d973", section="functions", has_own_file=True),
    ResourceTypeRow("operation", "O"),
)

BY_NAME: Mapping[str, ResourceTypeRow] = {row.name: row for row in RESOURCE_TYPES}
SECTIONS = tuple(dict.fromkeys(row.section for row in RESOURCE_TYPES))
"""The keys of the manifest with resources of the graph."""
RELATIONS = frozenset(row.name for row in RESOURCE_TYPES if row.is_relation)

if TYPE_CHECKING:
    ResourceType = str
else:
    # For pydantic, and so for OpenAPI: one of the names. mypy takes no computed Literal.
    ResourceType = Literal[tuple(BY_NAME)]


def in_order(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by resource type in the order of the table, without zeros."""
    return {name: counts[name] for name in BY_NAME if counts.get(name)}


def drawn_as(name: str) -> ResourceTypeRow:
    """The row with the shape and the color of a node in diagrams."""
    return BY_NAME.get(name) or ResourceTypeRow(name)
