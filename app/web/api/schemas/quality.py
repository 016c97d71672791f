"""How well a project is described, tested and owned, in requests and responses."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from app.core.models.quality import DIMENSIONS, RULES, Dimension, QualitySettings, Rule
from app.lineage.quality.counts import Counts, score
from app.lineage.quality.differences import QualityChange
from app.lineage.quality.findings import Findings
from app.lineage.quality.tallies import GroupTally
from app.web.api.schemas.common import Commit, Model, Query, Time, example
from app.web.api.schemas.lineages import COMMIT, HEAD

BASE = "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d"
SCORE = "From 0 to 100: the mean of the shares, by weight; null: there is nothing to count"


class QualityQuery(Query):
    """Which commits."""

    sha: Annotated[Commit | None, Field(description=f"The commit: {COMMIT}; without it, that of the connection's lineage")] = None
    base: Annotated[Commit | None, Field(description="Compare with this commit; without it, with the one before on the same branch")] = None


class CountView(Model):
    """How many have it, of how many that could."""

    satisfied: Annotated[int, Field(description="How many have it")]
    total: Annotated[int, Field(description="How many could")]
    weight: Annotated[float, Field(description="Its share of the score, before what nothing was counted of is left out")]
    description: Annotated[str, Field(description="What is counted")]


class GroupQuality(Model):
    """The nodes of one package, folder, group or owner."""

    name: Annotated[str, Field(description="Its name")]
    nodes: Annotated[int, Field(description="How many nodes were counted")]
    score: Annotated[float | None, Field(description=SCORE)]
    counts: Annotated[dict[Dimension, tuple[int, int]], Field(description="How many have it, and how many could")]

    @classmethod
    def of(cls, group: GroupTally, settings: QualitySettings) -> Self:
        """Give it a score."""
        pairs: dict[Dimension, tuple[int, int]] = {
            name: (one.satisfied, one.total) for name in DIMENSIONS if (one := group.counts.get(name))
        }
        return cls(name=group.name, nodes=group.nodes, score=score(group.counts, settings), counts=pairs)


class CommitScore(Model):
    """One commit of the trend."""

    sha: Annotated[str, Field(description="The commit")]
    extracted_at: Annotated[Time, Field(description="When its lineage was stored")]
    score: Annotated[float | None, Field(description=SCORE)]


class QualityChangeView(Model):
    """A node of which more, or less, is missing than before."""

    unique_id: Annotated[str, Field(description="dbt's id")]
    dimension: Annotated[Dimension, Field(description="What is missing")]
    missing: Annotated[int, Field(description="How many more nodes or columns lack it; negative: fewer do")]
    exposures: Annotated[int, Field(description="How many exposures depend on the node")]

    @classmethod
    def of(cls, change: QualityChange) -> Self:
        """The same."""
        return cls(unique_id=change.unique_id, dimension=change.dimension, missing=change.missing, exposures=change.exposures)


class QualityChanges(Model):
    """What changed the score."""

    base: Annotated[str, Field(description="The commit that was compared with")]
    score: Annotated[float | None, Field(description="Its score")]
    items: Annotated[list[QualityChangeView], Field(description="At most 50; those that exposures depend on first")]
    more: Annotated[int, Field(description="How many are not listed")]


class FindingItemView(Model):
    """One thing that was found."""

    subject: Annotated[str, Field(description="dbt's id; of `hard_coded_references` the name of a table, of `folder_cycles` a folder")]
    nodes: Annotated[list[str], Field(description="dbt's ids of what is involved: sources that are read, or those who read; at most 5")]
    more: Annotated[int, Field(description="How many of these are not listed")]


class FindingView(Model):
    """What a rule found."""

    description: Annotated[str, Field(description="What it looks for")]
    count: Annotated[int, Field(description="How many there are")]
    items: Annotated[list[FindingItemView], Field(description="At most 20, by `subject`")]


class QualityView(Model):
    """How well the nodes of a commit are described, tested and owned."""

    model_config = example(
        connection_id="0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
        sha=HEAD,
        branch="main",
        extracted_at="2026-11-02T09:00:09Z",
        score=62.5,
        counts={
            "descriptions": {"satisfied": 3, "total": 4, "weight": 20, "description": DIMENSIONS["descriptions"].says},
            "owners": {"satisfied": 2, "total": 4, "weight": 10, "description": DIMENSIONS["owners"].says},
        },
        packages=[{"name": "shop", "nodes": 4, "score": 62.5, "counts": {"descriptions": [3, 4], "owners": [2, 4]}}],
        folders=[],
        groups=[],
        owners=[],
        trend=[{"sha": HEAD, "extracted_at": "2026-11-02T09:00:09Z", "score": 62.5}],
        changes={
            "base": BASE,
            "score": 75.0,
            "items": [{"unique_id": "model.shop.orders", "dimension": "descriptions", "missing": 1, "exposures": 2}],
            "more": 0,
        },
        findings={
            "source_fanout": {
                "description": RULES["source_fanout"].many,
                "count": 1,
                "items": [{"subject": "source.shop.raw.orders", "nodes": ["model.shop.orders", "model.shop.stg_orders"], "more": 0}],
            }
        },
        relationships=1,
        inherited_descriptions=7,
    )

    connection_id: Annotated[str, Field(description="UUID of the connection")]
    sha: Annotated[str, Field(description="The commit")]
    branch: Annotated[str, Field(description="The branch whose push was extracted")]
    extracted_at: Annotated[Time, Field(description="When the lineage was stored")]
    score: Annotated[float | None, Field(description=SCORE)]
    counts: Annotated[dict[Dimension, CountView], Field(description="What was counted of the project's own nodes")]
    packages: Annotated[list[GroupQuality], Field(description="By package, with packages that the project installs; the largest 100")]
    folders: Annotated[list[GroupQuality], Field(description="By folder; the largest 100")]
    groups: Annotated[list[GroupQuality], Field(description="By dbt group; the largest 100")]
    owners: Annotated[list[GroupQuality], Field(description="By owner; the largest 100")]
    trend: Annotated[list[CommitScore], Field(description="The newest 60 counted commits of the branch, oldest first")]
    changes: Annotated[QualityChanges | None, Field(description="What changed the score; null: there is no commit to compare with")]
    findings: Annotated[
        dict[Rule, FindingView],
        Field(description="What could be built better. Without what the project switched off or, until columns are known, depends on them"),
    ]
    relationships: Annotated[int, Field(description="Columns with a `relationships` test")]
    inherited_descriptions: Annotated[
        int | None, Field(description="Columns that have no description and are a copy of one that has; null: columns are not known")
    ]


def counts_view(counts: Counts, settings: QualitySettings) -> dict[Dimension, CountView]:
    """The counts with what they mean."""
    return {
        name: CountView(satisfied=one.satisfied, total=one.total, weight=settings.weight(name), description=DIMENSIONS[name].says)
        for name, one in counts.items()
    }


def findings_view(findings: Findings) -> dict[Rule, FindingView]:
    """What was found, with what it means."""
    return {
        name: FindingView(
            description=RULES[name].many,
            count=one.count,
            items=[FindingItemView(subject=item.subject, nodes=[*item.nodes], more=item.more) for item in one.items],
        )
        for name in RULES
        if (one := findings.rules.get(name))
    }
