"""What a change does, in Markdown: with what the commit was compared, what it breaks, reaches and changes; then a picture."""

from __future__ import annotations

from collections.abc import Iterator

from app.project.repository_settings import PATH
from app.reports import impact_base, impact_picture, stale_sources
from app.reports.impact_lists import ReportedNodes, Stored, Where, breaks, changed, reached


def blocks(found: Stored, where: Where) -> Iterator[str]:
    """Blocks of Markdown about a stored comparison; some may be empty."""
    yield impact_base.sentence(found, where.links)
    if "totals" in found:
        nodes = ReportedNodes(found, where)
        yield impact_base.caveat(found)
        yield _outcome(found, where)
        yield stale_sources.sentence(found)
        yield from breaks(found, nodes)
        yield from reached(found, nodes)
        yield from changed(found, nodes)
        yield from impact_picture.blocks(found)


def _outcome(found: Stored, where: Where) -> str:
    """What made the check fail, or would have; empty if nothing did."""
    if found["conclusion"] != "failure":
        return ""
    if where.followed:
        return "On the followed branch, breaks fail nothing."
    at = "" if found["policy"]["breaks"] == "fail" else f" at {impact_base.commit(found['base']['sha'], where.links)}"
    return f"This check fails because something breaks: `impact` is `fail` in `{PATH}`{at}."
