"""Pull requests: https://docs.github.com/en/webhooks/webhook-events-and-payloads#pull_request."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from app.core.models.github import Repository
from app.core.models.pull_requests import PullRequest, label_of_fork
from app.pipeline.events.fields import ActionField, Id, IdField, Name, OfRepository, Sha

ACTIONS = ("opened", "reopened", "synchronize", "edited", "ready_for_review", "converted_to_draft", "closed")
MAX_OWNER = 100
"""Characters of the owner of a fork; GitHub's own limit is lower. With its branch, it has to fit into an index."""
_YEARS = range(2000, 3000)


class PullRequestChanged(msgspec.Struct, frozen=True):
    """A pull request was opened, reopened or closed, got commits or another base branch, or became a draft or ready for review."""

    repository: Repository
    """Where it is opened: that of its base branch."""
    pull_request: PullRequest


class _User(msgspec.Struct):
    login: Name


class _Head(msgspec.Struct):
    ref: Name
    sha: Sha
    repo: IdField | None = None
    """None: the fork was deleted."""
    label: Name | None = None
    """`owner:branch`."""
    user: _User | None = None


class _Base(msgspec.Struct):
    ref: Name


class _PullRequest(msgspec.Struct):
    number: Id
    state: str
    head: _Head
    base: _Base
    updated_at: Annotated[datetime, msgspec.Meta(tz=True)]
    draft: bool | None = None

    def __post_init__(self) -> None:
        if self.updated_at.year not in _YEARS:  # so that every time zone can show it
            raise ValueError("`updated_at` is not a time of GitHub's")


class _Changes(msgspec.Struct):
    base: object = None


class _PullRequestEvent(OfRepository, kw_only=True):
    action: str
    pull_request: _PullRequest
    changes: _Changes | None = None


def read_pull_request(payload: bytes | bytearray) -> PullRequestChanged | None:
    """A change of a pull request; None for what does not concern us, such as its title."""
    if msgspec.json.decode(payload, type=ActionField).action not in ACTIONS:
        return None
    event = msgspec.json.decode(payload, type=_PullRequestEvent)
    repository, pull = event.installed(), event.pull_request
    retitled = event.action == "edited" and not (event.changes and event.changes.base)
    if repository is None or retitled:
        return None
    state = PullRequest(
        number=pull.number,
        head_sha=pull.head.sha,
        branch=_branch(pull.head, repository),
        base_branch=pull.base.ref,
        draft=bool(pull.draft),
        open=pull.state == "open",
        updated_at=pull.updated_at,
    )
    return PullRequestChanged(repository, state)


def _branch(head: _Head, repository: Repository) -> str:
    if head.repo is not None and head.repo.id == repository.id:
        return head.ref
    owner = (head.label or "").partition(":")[0] or (head.user.login if head.user else "")
    return label_of_fork(owner[:MAX_OWNER], head.ref)
