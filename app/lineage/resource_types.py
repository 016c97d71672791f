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
    code: str = "---"
    """Three letters that stand for it in drawings."""
    shape: Shape = "box"
    color: str = "#ffffff"
    """In diagrams, behind black text."""
    dark_color: str = "#2a2f36"
    """Behind white text, where the reader prefers dark pages."""
    section: str = "nodes"
    """The key of the manifest that its resources are under."""
    is_relation: bool = False
    """Whether it can be a table or view: a dataset in OpenLineage, with columns that can have tests."""
    openlineage_job: str | None = None
    """Its `jobType` in OpenLineage; None if dbt does not build it."""
    has_own_file: bool = False
    """Whether each one is a file, or a part of a file, that dbt's messages name by its unique_id."""

    @property
    def label(self) -> str:
        """The singular, for users."""
        return label(self.name)


def label(name: str) -> str:
    """The name for users: "unit test". Lineages of earlier releases may have types that are not in the table."""
    return name.replace("_", " ")


RESOURCE_TYPES: tuple[ResourceTypeRow, ...] = (
    ResourceTypeRow("model", "MDL", "box", "#cfe2ff", "#1f3a5f", is_relation=True, openlineage_job="MODEL", has_own_file=True),
    ResourceTypeRow("seed", "SED", "cylinder", "#d9f2d0", "#25452b", is_relation=True, openlineage_job="SEED", has_own_file=True),
    ResourceTypeRow("snapshot", "SNP", "box3d", "#d5d0f5", "#3a3266", is_relation=True, openlineage_job="SNAPSHOT", has_own_file=True),
    ResourceTypeRow("analysis", "ANL", "tab", "#eeeeee", "#3a3f46", has_own_file=True),
    ResourceTypeRow("test", "TST", "note", "#fff3bf", "#4d4215"),
    ResourceTypeRow("unit_test", "UNT", "note", "#ffe0b3", "#523a14", section="unit_tests"),
    ResourceTypeRow("source", "SRC", "cylinder", "#b7e4c7", "#1b4d36", section="sources", is_relation=True),
    ResourceTypeRow("exposure", "EXP", "house", "#ffd6d6", "#5c2626", section="exposures"),
    ResourceTypeRow("metric", "MET", "hexagon", "#f5d0ef", "#552a4e", section="metrics"),
    ResourceTypeRow("semantic_model", "SEM", "component", "#c9f0f0", "#1c4a4c", section="semantic_models"),
    ResourceTypeRow("saved_query", "SQY", "folder", "#e6dcc8", "#4a4130", section="saved_queries"),
    ResourceTypeRow("function", "FUN", "ellipse", "#dce9b8", "#3c4a1c", section="functions", has_own_file=True),
    ResourceTypeRow("operation", "OPR"),
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
