"""Whether a commit is the newest of its branch, whether it still needs an extraction, and whether settings may leave it out. Pure."""

from __future__ import annotations

from app.core.models.extractions import Extraction, Newest
from app.core.models.pull_requests import merge_queue_of


def is_newest(head: str | None, before: str, after: str) -> bool:
    """True if a push from `before` to `after` certainly makes `after` the branch's head, given the `head` that we know.

    That is so if it starts at our head. Otherwise it is late, out of order, or a push in between is missing; also, the creation of a branch
    may be an old event.
    """
    return head is None or head in (before, after)


def is_behind(newest: Newest | None, sha: str, lineage_sha: str | None = None) -> bool:
    """True if a branch's head `sha` still needs an extraction.

    That is so if it has none, if its extraction failed because of Freshet, or if it succeeded before we knew that it is the head.
    """
    if newest is None or newest.sha != sha:
        return True
    if newest.status == "succeeded":
        return lineage_sha is not None and lineage_sha != sha
    return newest.status == "failed" and newest.conclusion == "neutral"


def listed_branch(extraction: Extraction) -> str | None:
    """The branch that `.github/freshet.yml` has to list; None: the commit is extracted in any case.

    A required check that is `skipped` counts as passed. So a stranger's file cannot leave out the stranger's branch, and a merge queue is
    checked if the branch is for which it merges.
    """
    if extraction.followed or extraction.forced or extraction.of_fork or extraction.background:
        return None
    queue = merge_queue_of(extraction.branch)
    if queue is None:
        return extraction.branch
    return None if queue.branch == extraction.trust.followed_branch else queue.branch
