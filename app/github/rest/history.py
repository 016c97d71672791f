"""The history of commits, which our mirrors do not have: where two branches part, and what a commit is made of."""

from __future__ import annotations

from typing import Protocol, TypeVar
from urllib.parse import quote

import msgspec

from app.core.errors import GoneError
from app.core.models.github import MergeBase

T = TypeVar("T")

MAX_ANCESTORS = 100
"""GitHub's longest page."""


class _Commit(msgspec.Struct):
    sha: str


class _Comparison(msgspec.Struct):
    merge_base_commit: _Commit
    behind_by: int


class Read(Protocol):
    """GETs a path below the repository. Raises as described in `app.pipeline.ports.GitHub`."""

    async def __call__(self, path: str, type_: type[T], **query: str) -> T:
        """Parse the response as `type_`."""


async def compare(read: Read, base: str, head: str) -> MergeBase:
    """Where `head` left `base`; each is a branch, a tag or a full sha. Raises GoneError if one of them does not exist.

    Only page 1 has the changed files, which can be megabytes: https://docs.github.com/en/rest/commits/commits#compare-two-commits.
    """
    path = f"/compare/{quote(base, safe='/')}...{quote(head, safe='/')}"
    try:
        found = await read(path, _Comparison, per_page="1", page="2")
    except GoneError as error:
        if "no common ancestor" in error.reason.casefold():
            return MergeBase(None)
        raise
    return MergeBase(found.merge_base_commit.sha, found.behind_by)


async def ancestors(read: Read, sha: str) -> list[str]:
    """The commit and what it is made of, the newest first: https://docs.github.com/en/rest/commits/commits#list-commits."""
    return [commit.sha for commit in await read("/commits", list[_Commit], sha=sha, per_page=str(MAX_ANCESTORS))]
