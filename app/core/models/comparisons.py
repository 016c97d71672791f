"""The commit that an extraction is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BaseKind = Literal["merge_base", "previous_head", "nearest", "none"]
"""`merge_base`: with the followed branch, or the base branch of a pull request. `previous_head`: of the followed branch. `nearest`: the
nearest ancestor whose lineage is stored, until that of the right one is. `none`: there is nothing to compare with.
"""


@dataclass(frozen=True, slots=True)
class Base:
    """What a commit is compared with, and why."""

    kind: BaseKind
    sha: str | None = None
    """The commit whose lineage is compared."""
    branch: str | None = None
    """The branch that it is a commit of: the followed one, or the base of the pull request."""
    wanted_sha: str | None = None
    """The right commit, if `sha` stands in for it; its extraction is queued."""
    behind_by: int | None = None
    """How many commits of `branch` are not in the compared branch, if GitHub was asked."""
    pull_request: int | None = None
    """The number of the pull request that names the base branch."""
