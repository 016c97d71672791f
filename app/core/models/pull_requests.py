"""Pull requests of a followed repository."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

MERGE_QUEUE = "gh-readonly-queue/"
MAX_DIGITS = 10
"""Of the number of a pull request: anybody can push a branch that looks like one of a merge queue."""
UNKNOWN_OWNER = "unknown"
"""Of a fork whose owner deleted the account."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as GitHub described it at `updated_at`."""

    number: int
    head_sha: str
    branch: str
    """The branch of its head, as extractions name it; of a fork, see `label_of_fork`."""
    base_branch: str
    draft: bool
    open: bool
    updated_at: datetime

    @property
    def of_fork(self) -> bool:
        """True if its head is in another repository."""
        return is_of_fork(self.branch)


@dataclass(frozen=True, slots=True)
class PullRequestBase:
    """The branch that a pull request is opened against."""

    branch: str
    number: int


def merge_queue_of(branch: str) -> PullRequestBase | None:
    """The base branch, and the last pull request, of a branch that GitHub's merge queue made; None for any other branch.

    >>> merge_queue_of("gh-readonly-queue/release/1.0/pr-12-0f3b")
    PullRequestBase(branch='release/1.0', number=12)
    >>> merge_queue_of("release/1.0") is None
    True
    """
    name, _, last = branch.removeprefix(MERGE_QUEUE).rpartition("/pr-")
    number = last.partition("-")[0]
    if not branch.startswith(MERGE_QUEUE) or not name or not (number.isascii() and number.isdecimal() and len(number) <= MAX_DIGITS):
        return None
    return PullRequestBase(name, int(number))


def label_of_fork(owner: str, branch: str) -> str:
    """The branch of a fork as GitHub shows it. No branch of a repository can have this name: git allows no colon.

    >>> label_of_fork("mona", "patch-1")
    'mona:patch-1'
    """
    return f"{owner or UNKNOWN_OWNER}:{branch}"


def is_of_fork(branch: str) -> bool:
    """True if an extraction's branch is one of a fork, whose commits a stranger wrote.

    >>> [is_of_fork(branch) for branch in ("mona:patch-1", "patch-1")]
    [True, False]
    """
    return ":" in branch
