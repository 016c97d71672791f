"""Pushes, and the groups of a merge queue, which are pushed too.

https://docs.github.com/en/webhooks/webhook-events-and-payloads#push
https://docs.github.com/en/webhooks/webhook-events-and-payloads#merge_group
"""

from __future__ import annotations

import msgspec

from app.core.models.github import Repository
from app.core.models.origins import Origin
from app.pipeline.events.fields import ActionField, Name, OfRepository, Sha, branch_of

ZERO_SHA = "0" * 40
"""`after` of a push that deletes its branch."""


class Push(msgspec.Struct, frozen=True):
    """A branch was created, moved or deleted."""

    repository: Repository
    branch: str
    before: str
    after: str
    origin: Origin | None = None
    """The delivery that it came with."""

    @property
    def delivery_id(self) -> str | None:
        """The id of that delivery."""
        return self.origin.delivery_id if self.origin else None

    @property
    def deleted(self) -> bool:
        """True if the branch was deleted."""
        return self.after.strip("0") == ""

    @property
    def created(self) -> bool:
        """True if the branch was created."""
        return self.before.strip("0") == ""


class MergeGroupChanged(msgspec.Struct, frozen=True):
    """A merge queue wants its checks on a group of pull requests (`requested`), or the group ended."""

    repository: Repository
    branch: str
    """The branch that GitHub made for the group: `gh-readonly-queue/…`."""
    sha: str
    requested: bool


class _Push(OfRepository, kw_only=True):
    ref: Name
    before: Sha
    after: Sha


class _MergeGroup(msgspec.Struct):
    head_sha: Sha
    head_ref: Name


class _MergeGroupEvent(OfRepository, kw_only=True):
    action: str
    merge_group: _MergeGroup


def read_push(payload: bytes | bytearray) -> Push | None:
    """A push to a branch; None for tags."""
    push = msgspec.json.decode(payload, type=_Push)
    branch, repository = branch_of(push.ref), push.installed()
    return Push(repository, branch, push.before, push.after) if repository and branch else None


def read_merge_group(payload: bytes | bytearray) -> MergeGroupChanged | None:
    """A merge group."""
    if msgspec.json.decode(payload, type=ActionField).action not in ("checks_requested", "destroyed"):
        return None
    event = msgspec.json.decode(payload, type=_MergeGroupEvent)
    group, repository = event.merge_group, event.installed()
    branch = branch_of(group.head_ref)
    if repository is None or branch is None:
        return None
    return MergeGroupChanged(repository, branch, group.head_sha, requested=event.action == "checks_requested")
