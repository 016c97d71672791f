"""Repositories, installations, branches and deliveries of GitHub."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Self

Conclusion = Literal["success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required"]
EXTRACT_AGAIN = "extract"
"""The `identifier` of our check runs' button, with which GitHub reports a click on it."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of an installation; GitHub's `id` never changes, `full_name` can."""

    id: int
    full_name: str
    installation_id: int
    default_branch: str | None = None
    private: bool = True

    def as_public(self) -> Self:
        """The same with the rights of a public repository, for what strangers wrote: it gets no private packages."""
        return replace(self, private=False)


@dataclass(frozen=True, slots=True)
class InstallationState:
    """An installation as GitHub lists it now."""

    id: int
    account: str
    account_type: str
    suspended: bool
    repository_selection: str
    """`all` or `selected`."""


@dataclass(frozen=True, slots=True)
class RepositoryState:
    """A repository of an installation as GitHub lists it now."""

    repository: Repository
    archived: bool
    pushed_at: datetime | None


@dataclass(frozen=True, slots=True)
class BranchHead:
    """A branch on GitHub: `sha` is None if there is no such branch; `etag` is for the next request."""

    sha: str | None
    etag: str | None


@dataclass(frozen=True, slots=True)
class MergeBase:
    """Where two histories part. `sha` is None if they have no commit in common."""

    sha: str | None
    behind_by: int = 0
    """The number of commits of the base that the head does not have."""


@dataclass(frozen=True, slots=True)
class FailedDelivery:
    """A delivery that never succeeded: `id` is of its newest attempt, `guid` is the same for all attempts."""

    id: int
    guid: str
    event: str
    delivered_at: datetime
