"""Whether a commit is the newest of its branch, and whether it still needs an extraction. Pure."""

from __future__ import annotations

from app.core.models.extractions import Newest


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
