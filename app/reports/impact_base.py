"""The commit that a commit was compared with, in a sentence, or why there is none. Markdown; without `links`, no links."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.core.plurals import count
from app.reports.github_links import RepositoryLinks, link
from app.reports.markdown import code, prose

Stored = Mapping[str, Any]


def sentence(found: Stored, links: RepositoryLinks | None) -> str:
    """Of a stored comparison, or of what is stored instead of one; may be empty."""
    base, reason = found["base"], prose(found["reason"] or "")
    if "totals" not in found:
        return _without_comparison(found, reason, links)
    compared = f"Compared with {commit(base['sha'], links)}"
    if base["kind"] == "nearest" and base["wanted_sha"]:
        wanted = f"{commit(base['wanted_sha'], links)}, {_branch_point(base, links)}"
        if found["state"] == "waiting":
            return f"{compared} for now, the nearest earlier commit with a lineage. Freshet is extracting {wanted}, and then corrects this."
        return f"{compared}, the nearest earlier commit with a lineage, instead of {wanted}. {reason}".strip()
    return f"{compared}, {_branch_point(base, links)}.{_behind(base)}"


def caveat(found: Stored) -> str:
    """What a comparison could not know; empty if nothing."""
    totals, sentences = found["totals"], []
    if sides := totals["without_columns"]:
        commits = {"base": "the commit that it is compared with", "head": "this commit"}
        which = " and ".join(commits[side] for side in commits if side in sides)
        sentences.append(f"The columns of {which} are not known, so everything is compared by model, and nothing is certain.")
    if number := totals["left_out"].get("definitions"):
        verb = "was" if number == 1 else "were"
        sentences.append(f"{count(number, 'node')} {verb} too large to search for what breaks.")
    return " ".join(sentences)


def commit(sha: str, links: RepositoryLinks | None) -> str:
    """The short id of a commit."""
    return link(sha[:7], links.commit(sha) if links else None)


def _without_comparison(found: Stored, reason: str, links: RepositoryLinks | None) -> str:
    base = found["base"]
    if found["state"] == "waiting" and (sha := base["wanted_sha"] or base["sha"]):
        return f"What this commit changes follows: Freshet is extracting {commit(sha, links)}, {_branch_point(base, links)}."
    return f"What this commit changes is not known. {reason}".strip() if found["state"] == "failed" else reason


def _branch_point(base: Mapping[str, Any], links: RepositoryLinks | None) -> str:
    branch = code(base["branch"]) if base["branch"] else "the followed branch"
    if base["kind"] == "previous_head":
        return f"the previous head of {branch}"
    number = base["pull_request"]
    words = f"pull request {number}"
    of = "" if not number else f" ([{words}]({links.pull_request(number)}))" if links else f" ({words})"
    return f"the merge base with {branch}{of}"


def _behind(base: Mapping[str, Any]) -> str:
    if not base["behind_by"] or not base["branch"]:
        return ""
    what = "what it changes" if base["behind_by"] == 1 else "what they change"
    return f" This branch is {count(base['behind_by'], 'commit')} behind {code(base['branch'])}: {what} is not counted here."
