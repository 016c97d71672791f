"""Statistics and freshness as they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from app.heads import Head
from app.jobs import Connection, Status
from app.measures import Answers, Cost, Resources, Spread, Stats
from app.web.models.common import Model, Query, Time, Whole, example

MOST_EXTRACTIONS = 1_000
UNHEARD = "It was not heard of yet: that is mended now"
NO_BRANCH = "GitHub has no such branch any more"
SHA = "6dcb09b5b57875f334f61aebed695e2e4193db5e"


class StatsQuery(Query):
    """How much is looked at."""

    last: Annotated[Whole, Field(ge=1, le=MOST_EXTRACTIONS, description="Look at so many of the newest extractions")] = MOST_EXTRACTIONS


class ResourcesView(Model):
    """What the connection's lineage holds."""

    sha: str
    extracted_at: Time
    by_type: Annotated[dict[str, int], Field(description="How many nodes of each resource type")]
    nodes: int
    edges: int

    @classmethod
    def of(cls, resources: Resources) -> Self:
        """Show what a lineage holds."""
        return cls(
            sha=resources.sha,
            extracted_at=resources.extracted_at,
            by_type=dict(resources.counts),
            nodes=resources.nodes,
            edges=resources.edges,
        )


class ExtractionsView(Model):
    """The extractions that were looked at."""

    total: int
    since: Annotated[Time | None, Field(description="When the oldest of them was queued")]
    by_status: dict[Status, int]


class StageSpread(Model):
    """How long a stage took, in seconds, in extractions that succeeded."""

    stage: str
    times: int
    last: float
    p50: float
    p95: float

    @classmethod
    def of(cls, stage: str, spread: Spread) -> Self:
        """Show a stage."""
        return cls(stage=stage, times=spread.times, last=spread.last or 0.0, p50=spread.p50 or 0.0, p95=spread.p95 or 0.0)


class CpuView(Model):
    """Seconds of CPU that dbt took in extractions that succeeded; null where the engine told nothing."""

    times: int
    last: float | None
    p50: float | None
    p95: float | None
    sum: float

    @classmethod
    def of(cls, cost: Cost) -> Self:
        """Show what was spent."""
        return cls(times=cost.spread.times, last=cost.spread.last, p50=cost.spread.p50, p95=cost.spread.p95, sum=cost.whole)


class MemoryView(Model):
    """Bytes of memory that dbt took at its peak in extractions that succeeded; null where the engine told nothing."""

    times: int
    last: int | None
    p50: int | None
    p95: int | None
    max: int

    @classmethod
    def of(cls, cost: Cost) -> Self:
        """Show what was spent."""
        last, p50, p95 = (None if part is None else round(part) for part in (cost.spread.last, cost.spread.p50, cost.spread.p95))
        return cls(times=cost.spread.times, last=last, p50=p50, p95=p95, max=round(cost.whole))


class StaleView(Model):
    """How far the lineage is behind the newest commit that is known."""

    stale: bool
    reason: str | None
    since: Time | None
    lag_seconds: float

    @classmethod
    def of(cls, connection: Connection, now: datetime) -> Self:
        """Show how stale a connection is."""
        return cls(stale=connection.stale, reason=connection.stale_reason, since=connection.stale_since, lag_seconds=connection.lag_s(now))


class StatsView(Model):
    """What a connection holds and costs."""

    model_config = example(
        connection_id="0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
        resources={
            "sha": SHA,
            "extracted_at": "2026-11-02T09:00:09Z",
            "by_type": {"model": 12, "test": 30, "source": 4},
            "nodes": 46,
            "edges": 61,
        },
        extractions={"total": 214, "since": "2026-09-01T07:12:40Z", "by_status": {"succeeded": 200, "failed": 9, "superseded": 5}},
        stages=[{"stage": "parsing", "times": 160, "last": 1.9, "p50": 2.1, "p95": 4.4}],
        cpu_seconds={"times": 160, "last": 1.6, "p50": 1.7, "p95": 3.9, "sum": 301.5},
        peak_memory_bytes={"times": 160, "last": 183500800, "p50": 181403648, "p95": 197132288, "max": 201326592},
        staleness={"stale": False, "reason": None, "since": None, "lag_seconds": 0.0},
    )

    connection_id: str
    resources: Annotated[ResourcesView | None, Field(description="Null while there is no lineage")]
    extractions: ExtractionsView
    stages: list[StageSpread]
    cpu_seconds: CpuView
    peak_memory_bytes: MemoryView
    staleness: StaleView

    @classmethod
    def of(cls, connection: Connection, stats: Stats, now: datetime) -> Self:
        """Show statistics."""
        counts = dict(stats.extractions.counts)
        return cls(
            connection_id=connection.id,
            resources=ResourcesView.of(stats.resources) if stats.resources else None,
            extractions=ExtractionsView(total=sum(counts.values()), since=stats.extractions.since, by_status=counts),
            stages=[StageSpread.of(stage, spread) for stage, spread in stats.stages.items()],
            cpu_seconds=CpuView.of(stats.cpu_seconds),
            peak_memory_bytes=MemoryView.of(stats.peak_memory_bytes),
            staleness=StaleView.of(connection, now),
        )


class HeadView(Model):
    """The newest commit of the followed branch."""

    sha: Annotated[str | None, Field(description="Null: the branch has no commit, or none is known")]
    asked_at: Annotated[Time | None, Field(description="When GitHub said so; null: it is what Freshet was told by pushes")]
    github_error: Annotated[str | None, Field(description="Why GitHub could not be asked now; null: it could")]


class ExtractedView(Model):
    """The commit that the lineage is of."""

    sha: str
    extracted_at: Time


class ObjectiveView(Model):
    """How the pushes of some days were answered: `met` and `missed` make the share, the others have none in it."""

    days: int
    since: Annotated[Time, Field(description="The counting begins here: later where a branch has more pushes than are looked at")]
    pushes: int
    met: int
    missed: int
    refused: Annotated[int, Field(description="dbt said no, so there was no lineage to be had")]
    pending: Annotated[int, Field(description="Younger than the objective, and not answered yet; not among `pushes`")]
    share: Annotated[float | None, Field(description="Null: no push counts")]

    @classmethod
    def of(cls, answers: Answers) -> Self:
        """Show how pushes were answered."""
        return cls(
            days=answers.days,
            since=answers.since,
            pushes=answers.pushes,
            met=answers.met,
            missed=answers.missed,
            refused=answers.refused,
            pending=answers.pending,
            share=answers.share,
        )


OBJECTIVE: dict[str, Any] = {
    "days": 7,
    "since": "2026-10-26T09:00:30Z",
    "pushes": 41,
    "met": 38,
    "missed": 1,
    "refused": 2,
    "pending": 0,
    "share": 0.9743589743589743,
}


class FreshnessView(Model):
    """How far a connection is behind GitHub, and how fast it usually follows."""

    model_config = example(
        connection_id="0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
        branch="main",
        head={"sha": SHA, "asked_at": "2026-11-02T09:00:30Z", "github_error": None},
        extracted={"sha": SHA, "extracted_at": "2026-11-02T09:00:09Z"},
        current=True,
        stale_reason=None,
        lag_seconds=0.0,
        objective_seconds=60.0,
        objectives=[OBJECTIVE],
    )

    connection_id: str
    branch: str | None
    head: HeadView
    extracted: Annotated[ExtractedView | None, Field(description="Null while there is no lineage")]
    current: Annotated[bool, Field(description="The lineage is of the head")]
    stale_reason: str | None
    lag_seconds: Annotated[float | None, Field(description="For how long it is not; 0 when it is, null when that is not known yet")]
    objective_seconds: float
    objectives: list[ObjectiveView]


def freshness(connection: Connection, head: Head | None, answers: list[Answers], objective_s: float, now: datetime) -> FreshnessView:
    """Show how fresh a connection is. `head`: what GitHub says; where it does not, what we were told counts."""
    told = head is not None and head.refused is None
    sha = head.sha if head is not None and told else connection.head_sha
    known = sha == connection.head_sha
    current = sha is not None and sha == connection.lineage_sha
    return FreshnessView(
        connection_id=connection.id,
        branch=connection.followed_branch,
        head=HeadView(
            sha=sha,
            asked_at=head.asked_at if head is not None and told else None,
            github_error=head.refused.user_text if head is not None and head.refused is not None else None,
        ),
        extracted=_extracted(connection),
        current=current,
        stale_reason=None if current else connection.stale_reason if known else UNHEARD if sha else NO_BRANCH,
        lag_seconds=0.0 if current else connection.lag_s(now) if known and connection.stale else None,
        objective_seconds=objective_s,
        objectives=[ObjectiveView.of(one) for one in answers],
    )


def _extracted(connection: Connection) -> ExtractedView | None:
    if connection.lineage_sha is None or connection.extracted_at is None:
        return None
    return ExtractedView(sha=connection.lineage_sha, extracted_at=connection.extracted_at)
