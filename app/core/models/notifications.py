"""Notifications: subscriptions, the state of a connection that they are decided by, and messages.

A decision compares the state now with what was reported before, so missed, repeated or reordered events do not matter. A connection is
*broken* if the extraction of its newest commit failed because of the project, *stale* if no extraction has finished for some time although
there is a newer commit, and *current* if its lineage is that of its newest commit. A fault of Freshet is not a failure of the project: it
is retried automatically, and if that takes too long, the lineage is stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from app.core.models.extractions import Status

Kind = Literal["email", "webhook"]
Event = Literal["failure", "recovery", "stale"]
ProblemKind = Literal["failure", "stale"]
Outcome = Literal["sent", "postponed", "given_up", "refused"]

EVENTS: tuple[Event, ...] = ("failure", "recovery", "stale")
FAULTS = frozenset({"failure", "timed_out", "action_required"})
"""Conclusions that the project's people can fix."""
MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class LastMessage:
    """The status of a subscription's newest message."""

    event: str
    outcome: Outcome
    at: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A notification, as users call it: about one connection, or about all connections of an installation."""

    id: str
    kind: Kind
    to: str = field(repr=False)
    """An email address, or a URL, which may contain a secret."""
    events: frozenset[Event]
    created_at: datetime
    connection_id: str | None = None
    installation_id: int | None = None
    paused: bool = False
    last: LastMessage | None = None


@dataclass(frozen=True, slots=True)
class ReportedProblem:
    """The problem of a connection that a subscription has reported. `since` is when the first problem in a row began."""

    event: ProblemKind
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Recipient:
    """A subscription that applies to a connection. Nothing that happened before `since` is reported."""

    subscription_id: str
    kind: Kind
    to: str = field(repr=False)
    events: frozenset[Event]
    since: datetime
    reported: ReportedProblem | None = None


@dataclass(frozen=True, slots=True)
class HeadState:
    """The state of the newest commit of a connection's branch."""

    sha: str
    lineage_sha: str | None = None
    extracted_at: datetime | None = None
    extraction_id: str | None = None
    """The newest extraction of the commit, or the one that stored the lineage if the lineage is of this commit."""
    status: Status | None = None
    conclusion: str | None = None
    title: str = ""
    path: str | None = None
    finished_at: datetime | None = None
    waiting_since: datetime | None = None
    """When the first extraction after the last success or failure was queued."""
    behind_since: datetime | None = None
    """When the first extraction after that of the lineage was queued."""

    @property
    def is_current(self) -> bool:
        """The lineage is of this commit."""
        return self.lineage_sha == self.sha

    @property
    def is_left_out(self) -> bool:
        """The repository's settings leave the commit out."""
        return self.status == "failed" and self.conclusion == "skipped"

    @property
    def is_broken(self) -> bool:
        """Its extraction failed because of the project."""
        return self.status == "failed" and self.conclusion in FAULTS

    @property
    def reason(self) -> str:
        """Two failures with the same reason (title and file) count as the same failure."""
        return f"{self.title} {self.path or ''}".strip()[:MAX_REASON]


@dataclass(frozen=True, slots=True)
class Decision:
    """What has been reported from now on (`reported`), the event to send now, and when to look again."""

    reported: ReportedProblem | None
    event: Event | None = None
    again_at: datetime | None = None


# -- messages ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Notice:
    """A queued message, attempted `attempts` times so far. `event` may be `test`."""

    id: str
    subscription: Subscription
    event: Event | Literal["test"]
    created_at: datetime
    attempts: int = 0
    secret: str | None = field(default=None, repr=False)
    """The webhook's."""
    connection_id: str | None = None
    extraction_id: str | None = None
    since: datetime | None = None
    """When the problem began."""
    before: ProblemKind | None = None
    """For a recovery: the problem that ended."""


@dataclass(frozen=True, slots=True)
class Message:
    """The content of a notice: `subject` and `text` for people, `document` for programs. The same for every attempt."""

    id: str
    thread: str
    """The same for all messages of a subscription about one connection."""
    event: str
    created_at: datetime
    subject: str
    text: str
    document: Mapping[str, Any]
