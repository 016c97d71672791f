"""The pages of extractions, for people who may read the repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from app.core.models.connections import Connection
from app.core.models.extractions import ENDED, Extraction
from app.pipeline import triggers
from app.reports import check_run, column_lineage, impact_base, placeholders, quality_line, summary
from app.reports.impact_lists import not_named, reached_counts
from app.web.http import sse
from app.web.keys import SETUP, STORE
from app.web.pages import frame, visitor

SHARE = 0.1
"""How much of all open streams one person can have."""


@dataclass(frozen=True, slots=True)
class Existing:
    """What a page can link to: the connection, and its lineages of the extraction's commit and of the one that it is compared with."""

    connection: bool = True
    lineage: bool = True
    base: bool = True


async def extraction(request: web.Request) -> web.Response:
    """The page of one extraction, live while it runs."""
    found = await visitor.extraction(request)
    connection = await request.app[STORE].connections.get(found.connection_id)
    may_push = await visitor.may_push(request, found.repository)
    existing = await _existing(request, found, connection)
    context = {
        **_context(found, request.app[SETUP].server_url, existing, may_push=may_push),
        "fragment": _fragment(request, found, existing, may_push=may_push),
        "stale": stale_warning(found, connection),
        "pull": found.base.pull_request if found.base else None,
    }
    return frame.render(request, "extraction.html", context)


async def events(request: web.Request) -> web.StreamResponse:
    """Server-sent events with the changing part of the page."""
    found = await visitor.extraction(request)
    caller = (await visitor.of(request)).caller
    may_push = await caller.may("push", found.repository)
    share = 1.0 if caller.everything else SHARE
    audience = sse.Audience(caller.key, share, lambda: caller.may("read", found.repository))
    # What is extracted while somebody looks is stored in that moment.
    existing = Existing(connection=await request.app[STORE].connections.get(found.connection_id) is not None)
    name = f"page {may_push} {existing.connection}"

    def render(changed: Extraction) -> str:
        return _fragment(request, changed, existing, may_push=may_push)

    return await sse.stream(request, found.id, name, render, audience, gone=frame.fragment(request, "_extraction_deleted.html", {}))


async def cancel(request: web.Request) -> web.StreamResponse:
    """`POST /extractions/{id}/cancel`."""
    found = await visitor.extraction(request, "push")
    await request.app[STORE].extractions.cancel(found.id)
    raise web.HTTPSeeOther(frame.url_for(request, f"/extractions/{found.id}"))


async def retry(request: web.Request) -> web.StreamResponse:
    """`POST /extractions/{id}/retry`: show the new extraction."""
    found = await visitor.extraction(request, "push")
    queued = await triggers.extract_again(request.app[STORE], found, "api")
    raise web.HTTPSeeOther(frame.url_for(request, f"/extractions/{queued.id}"))


def stale_warning(found: Extraction, connection: Connection | None) -> str | None:
    """Why the connection's lineage is stale, in sentences; None if it is not, or if this extraction is of another branch."""
    if connection is None or not connection.stale or connection.lineage_sha is None or found.branch != connection.followed_branch:
        return None
    head = (connection.head_sha or "")[:7]
    return f"The lineage is that of commit `{connection.lineage_sha[:7]}`; the newest commit is `{head}`. {connection.stale_reason}."


async def _existing(request: web.Request, found: Extraction, connection: Connection | None) -> Existing:
    if connection is None:
        return Existing(connection=False, lineage=False, base=False)
    lineages, base = request.app[STORE].lineages, _base_sha(found)
    return Existing(
        lineage=await lineages.head(connection.id, found.sha) is not None,
        base=base is not None and await lineages.head(connection.id, base) is not None,
    )


def _base_sha(found: Extraction) -> str | None:
    base = (found.result.get("impact") or {}).get("base") or {}
    return base.get("sha")


def _fragment(request: web.Request, found: Extraction, existing: Existing, *, may_push: bool) -> str:
    return frame.fragment(request, "_extraction.html", _context(found, request.app[SETUP].server_url, existing, may_push=may_push))


def _context(found: Extraction, server_url: str, existing: Existing, *, may_push: bool) -> dict[str, Any]:
    impact = found.result.get("impact") or {}
    github = f"{server_url}/{found.repository.full_name}"
    return {
        "github": github,
        "may_push": may_push and existing.connection,
        "existing": existing,
        "base_sha": _base_sha(found) if existing.base else None,
        "extraction": found,
        "headline": check_run.headline(found),
        "conclusion": check_run.conclusion_of(found),
        "stages": summary.stage_rows(found),
        "remarks": summary.remarks(found),
        "quality_line": quality_line.line(found),
        "columns_line": column_lineage.line(found.result),
        "impact": impact,
        "compared": impact_base.sentence(impact, None) if impact else "",
        "compares": "totals" in impact,
        "caveat": impact_base.caveat(impact) if "totals" in impact else "",
        "lines": {one["unique_id"]: one["line"] for one in impact.get("annotations", ()) if one.get("line")},
        "reached": reached_counts(impact) if "totals" in impact else "",
        "not_named": [*not_named(impact)] if "totals" in impact else [],
        "to_paste": placeholders.settings_snippet(found.result.get("placeholders", ())),
        "live": found.status not in ENDED,
    }
