"""Which commit an extraction is compared with, decided from what GitHub and the database say. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from app.core.models.comparisons import Base
from app.core.models.github import MergeBase
from app.reports.markdown import code
from app.store.bases import BaseCommit

NONE = Base("none")


@dataclass(frozen=True, slots=True)
class BaseBranch:
    """The branch that a side branch is compared with; `pull_request` is the number of the one that names it."""

    name: str
    pull_request: int | None = None


@dataclass(frozen=True, slots=True)
class FoundBase:
    """The right commit to compare with, whether its lineage is stored or not; `reason`, in full sentences: why there is none."""

    base: Base = NONE
    reason: str = ""
    failed: bool = False
    """Whether it could not be found out what it is."""
    again: bool = False
    """Whether it may be found out later."""
    ancestors: tuple[str, ...] = ()
    """Commits that may stand in for it, the nearest first."""


@dataclass(frozen=True, slots=True)
class ChosenBase:
    """What is compared with now. `reason`, in full sentences: why there is nothing, or why a commit that stands in stays."""

    base: Base = NONE
    reason: str = ""
    failed: bool = False
    again: bool = False

    @property
    def awaited_sha(self) -> str | None:
        """The commit to extract, after which the impact is computed again."""
        return None if self.reason else self.base.wanted_sha


def of_side_branch(sha: str, branch: BaseBranch, found: MergeBase | None, earlier: Base | None = None) -> FoundBase:
    """The merge base of a commit of a side branch with its base branch; `found` is None if GitHub has no such branch.

    `earlier`: what an extraction of the same commit was compared with. It counts if the commit was merged since.
    """
    name = code(branch.name)
    if found is None:
        return FoundBase(reason=f"There is nothing to compare with: GitHub has no branch {name}.")
    if found.sha is None:
        return FoundBase(reason=f"There is nothing to compare with: this commit and {name} have no commit in common.")
    if found.sha != sha:
        return FoundBase(Base("merge_base", found.sha, branch.name, None, found.behind_by, branch.pull_request))
    kept = right_one(earlier, "merge_base")
    if kept is not None and kept.sha != sha:
        return FoundBase(kept)
    return FoundBase(reason=f"There is nothing to compare with: {name} contains this commit.")


def of_followed_branch(sha: str, before: Base | None, earlier: Base | None, *, switched: bool) -> Base | None:
    """The previous head of the followed branch, or `NONE` for the first lineage; None if the history has to be asked.

    `before`: the commit of the connection's lineage until then; `switched`: it is `sha` now. A re-run of a commit keeps what an `earlier`
    extraction of it was compared with.
    """
    if before is None:
        return NONE
    if switched and before.sha != sha:
        return before
    kept = earlier if earlier == NONE else right_one(earlier, "previous_head")
    return kept if kept is not None and kept.sha != sha else None


def known(base: Base) -> FoundBase:
    """The base that was recorded with the lineage of the followed branch."""
    return FoundBase(base, "" if base.sha else "There is nothing to compare with: this is the first lineage of the project.")


def of_history(branch: str | None, nearest: str | None) -> FoundBase:
    """The nearest commit of the followed branch with a lineage, for one that was not pushed as its newest."""
    if nearest is not None:
        return FoundBase(Base("previous_head", nearest, branch))
    return FoundBase(reason="There is nothing to compare with: no earlier commit of the branch has a lineage.")


def right_one(base: Base | None, kind: Literal["merge_base", "previous_head"]) -> Base | None:
    """The commit that another one may stand in for; None if there is none."""
    if base is None or base.kind == "none":
        return None
    if base.kind != "nearest":
        return base
    return None if base.wanted_sha is None else replace(base, kind=kind, sha=base.wanted_sha, wanted_sha=None)


def choose(found: FoundBase, commit: BaseCommit, nearest: str | None, *, tried: bool = False) -> ChosenBase:
    """What to compare with now: the right commit, or the nearest one that stands in for it.

    `tried`: its extraction was queued before, and has ended. Without that, what was cancelled, superseded or failed because of Freshet is
    queued.
    """
    base = found.base
    if base.sha is None or commit.stored:
        return ChosenBase(base, found.reason, found.failed, found.again)
    standing_in = replace(base, kind="nearest", sha=nearest, wanted_sha=base.sha)
    name = f"`{base.sha[:7]}`"
    if not commit.active and commit.status == "failed" and (tried or commit.conclusion != "neutral"):
        title = f" ({commit.title})" if commit.title else ""
        return ChosenBase(standing_in, f"The lineage of {name} is missing: its extraction failed{title}.")
    if not commit.active and commit.status == "cancelled" and tried:
        return ChosenBase(standing_in, f"The lineage of {name} is missing: its extraction was cancelled.")
    return ChosenBase(standing_in)
