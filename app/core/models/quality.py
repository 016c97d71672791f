"""What is counted of a project's quality and found in it, by name, and what a project sets of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

Dimension = Literal["descriptions", "column_descriptions", "tests", "keys", "owners", "freshness", "contracts"]
Rule = Literal[
    "marts_or_intermediate_dependent_on_source",
    "source_fanout",
    "unused_models",
    "unused_sources",
    "hard_coded_references",
    "folder_cycles",
    "select_star_from_source",
    "model_naming_conventions",
    "model_directories",
    "exposures_without_owner",
]
"""Where dbt-project-evaluator has the rule, its name for it: https://dbt-labs.github.io/dbt-project-evaluator/latest/rules."""


class DimensionRow(NamedTuple):
    """One thing that nodes, or their columns, should have."""

    weight: int
    """Its share of the score, before dimensions without anything to count are left out."""
    says: str
    """For users: what is counted."""
    lacks: tuple[str, str]
    """For users: one that lacks it, and several."""


class RuleRow(NamedTuple):
    """Something that can be found in a project."""

    one: str
    """For users: one of it."""
    many: str
    """For users: several."""


DIMENSIONS: Mapping[Dimension, DimensionRow] = {
    "descriptions": DimensionRow(
        20, "models, sources, seeds, snapshots and exposures with a description", ("undocumented node", "undocumented nodes")
    ),
    "column_descriptions": DimensionRow(20, "columns in YAML files with a description", ("undocumented column", "undocumented columns")),
    "tests": DimensionRow(20, "models, sources, seeds and snapshots with a test", ("node without a test", "nodes without a test")),
    "keys": DimensionRow(
        15,
        "models and snapshots with a key that is tested to be unique and not null",
        ("node without a tested key", "nodes without a tested key"),
    ),
    "owners": DimensionRow(
        10, "models, sources, seeds, snapshots and exposures with an owner", ("node without an owner", "nodes without an owner")
    ),
    "freshness": DimensionRow(
        10, "sources with a freshness check", ("source without a freshness check", "sources without a freshness check")
    ),
    "contracts": DimensionRow(
        5, "public models with an enforced contract", ("public model without a contract", "public models without a contract")
    ),
}
"""What is counted, in the order in which it is shown."""
RULES: Mapping[Rule, RuleRow] = {
    "marts_or_intermediate_dependent_on_source": RuleRow(
        "mart or intermediate model that reads a source", "mart or intermediate models that read a source"
    ),
    "source_fanout": RuleRow("source that several models read", "sources that several models read"),
    "unused_models": RuleRow("model that nothing reads", "models that nothing reads"),
    "unused_sources": RuleRow("source that nothing reads", "sources that nothing reads"),
    "hard_coded_references": RuleRow("table that SQL names and dbt does not know", "tables that SQL names and dbt does not know"),
    "folder_cycles": RuleRow("folder that is part of a cycle", "folders that are part of a cycle"),
    "select_star_from_source": RuleRow(
        "model with `select *` from a source whose columns are not all known",
        "models with `select *` from a source whose columns are not all known",
    ),
    "model_naming_conventions": RuleRow(
        "model without the prefix of its layer's folder", "models without the prefix of their layer's folder"
    ),
    "model_directories": RuleRow("model in the folder of another layer", "models in the folder of another layer"),
    "exposures_without_owner": RuleRow("exposure without an owner", "exposures without an owner"),
}
"""What is looked for, in the order in which it is shown."""


class QualitySettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """The key `quality` of `.github/freshet.yml` in one commit, for one project."""

    weights: Mapping[Dimension, float] = {}
    """Those that are not the usual ones. 0: counted, and no part of the score."""
    findings_off: frozenset[Rule] = frozenset()
    """What is not looked for."""
    ignored_folders: tuple[str, ...] = ()
    """Nodes whose files are below are neither counted nor found. Relative to the project's directory."""
    check_runs: bool = True
    """Whether check runs say something about it."""

    def weight(self, dimension: Dimension) -> float:
        """The share of a dimension in the score."""
        return self.weights.get(dimension, DIMENSIONS[dimension].weight)

    def ignores(self, folder: str) -> bool:
        """Whether the nodes of a folder, relative to the project's directory, are left out."""
        return any(not one or folder == one or folder.startswith(f"{one}/") for one in self.ignored_folders)


USUAL = QualitySettings()
