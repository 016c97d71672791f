"""Pull requests of followed repositories, as far as GitHub reports them."""

from __future__ import annotations

from datetime import timedelta

from app.core.models.pull_requests import PullRequest, PullRequestBase, merge_queue_of
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("pull_requests")
PURGED_AT_ONCE = 1000


class PullRequests:
    """Pull requests by repository and number."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def record(self, repository_id: int, pull: PullRequest) -> bool:
        """Store a pull request; False if a newer state of it is known."""
        values = pull.head_sha, pull.branch, pull.base_branch, pull.draft, pull.open, pull.updated_at
        return await self._db.value(SQL["record"], repository_id, pull.number, *values) is not None

    async def has_open(self, repository_id: int, branch: str) -> bool:
        """True if a branch (as extractions name it) is the head of an open pull request."""
        return bool(await self._db.value(SQL["has_open"], repository_id, branch))

    async def base_branch_of(self, repository_id: int, branch: str, sha: str, followed: str | None) -> PullRequestBase | None:
        """Return the branch against which a pull request with this head is opened, or for which a merge queue made the branch.

        `branch` and `sha` are the extraction's. Of several pull requests with one head, it is the one to the `followed` branch, otherwise
        the one with the lowest number. After it was closed, it still counts for its last commit.
        """
        if (queued := merge_queue_of(branch)) is not None:
            return queued
        row = await self._db.row(SQL["base_branch_of"], repository_id, branch, sha, followed)
        return None if row is None else PullRequestBase(row["base_branch"], row["number"])

    async def purge(self, age: timedelta) -> None:
        """Delete the pull requests that were closed more than `age` ago, in small steps."""
        while await self._db.execute(SQL["purge"], age, PURGED_AT_ONCE) == PURGED_AT_ONCE:
            pass
