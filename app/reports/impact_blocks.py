"""What a change does, in Markdown: with what the commit was compared, what it breaks, reaches and changes; then a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.core.plurals import count
from app.project.repository_settings import PATH
from app.reports import impact_picture
from app.reports.github_links import link
from app.reports.impact_lists import ReportedNodes, Stored, Where, breaks, changed, reached
from app.reports.markdown import code, prose


def blocks(found: Stored, where: Where) -> Iterator[str]:
    """Blocks of Markdown about a stored comparison; some may be empty."""
    if "totals" not in found:
        yield _not_compared(found, where)
        return
    nodes = ReportedNodes(found, where)
    yield _base(found, where)
    yield _outcome(found, where)
    yield from breaks(found, nodes)
    yield from reached(found, nodes)
    yield from changed(found, nodes)
    yield from impact_picture.blocks(found)


def _not_compared(found: Stored, where: Where) -> str:
    reason, base = found.get("reason"), found["base"]
    if found["state"] == "waiting" and (sha := base["wanted_sha"] or base["sha"]):
        return f"What this commit changes follows: Freshet is extracting {_commit(sha, where)}, {_branch_point(base, where)}."
    if found["state"] == "failed":
        return f"What this commit changes is not known. {prose(reason or '')}".strip()
    return prose(reason or "")


def _base(found: Stored, where: Where) -> str:
    base = found["base"]
    compared = f"Compared with {_commit(base['sha'], where)}"
    if base["kind"] == "nearest" and base["wanted_sha"]:
        wanted = f"{_commit(base['wanted_sha'], where)}, {_branch_point(base, where)}"
        if found["state"] == "waiting":
            return f"{compared} for now, the nearest earlier commit with a lineage. Freshet is extracting {wanted}, and then corrects this."
        return f"{compared}, the nearest earlier commit with a lineage, instead of {wanted}. {prose(found.get('reason') or '')}".strip()
    return f"{compared}, {_branch_point(base, where)}.{_behind(base)}"


def _behind(base: Mapping[str, Any]) -> str:
    if not base["behind_by"] or not base["branch"]:
        return ""
    what = "what it changes" if base["behind_by"] == 1 else "what they change"
    return f" This branch is {count(base['behind_by'], 'commit')} behind {code(base['branch'])}: {what} is not counted here."


def _branch_point(base: Mapping[str, Any], where: Where) -> str:
    branch = code(base["branch"]) if base["branch"] else "the followed branch"
    if base["kind"] == "previous_head":
        return f"the previous head of {branch}"
    number = base["pull_request"]
    of = f" ([pull request {number}]({where.links.pull_request(number)}))" if number else ""
    return f"the merge base with {branch}{of}"


def _commit(sha: str, where: Where) -> str:
    return link(sha[:7], where.links.commit(sha))


def _outcome(found: Stored, where: Where) -> str:
    """What made the check fail, or would have; empty if nothing did."""
    if found["conclusion"] != "failure":
        return ""
    if where.followed:
        return "On the followed branch, breaks do not fail this check."
    at = "" if found["policy"]["breaks"] == "fail" else f" at {_commit(found['base']['sha'], where)}"
    return f"This check fails because something breaks: `impact` is `fail` in `{PATH}`{at}."
