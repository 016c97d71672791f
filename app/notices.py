"""Who is told of what, decided from values alone: from how a connection stands and what was told before to what is to be told now.

States are compared, not events counted: whatever was missed, repeated or came out of order on the way, what is told follows from how things
stand. A connection is *broken* when the extraction of its newest commit ended by the project's own fault, *stale* when for a while no
extraction came to an end although there is a newer commit, and well when its lineage is that of its newest commit. A fault of ours is no
failure of anybody's project: it is tried again by itself, and only if that takes long is the lineage stale.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from app.deps.addresses import check
from app.jobs import Status

Kind = Literal["email", "webhook"]
Event = Literal["failure", "recovery", "stale"]
Trouble = Literal["failure", "stale"]
Outcome = Literal["sent", "postponed", "given_up", "refused"]

EVENTS: tuple[Event, ...] = ("failure", "recovery", "stale")
FAULTS = frozenset({"failure", "timed_out", "action_required"})
"""Conclusions that the project's people can do something about."""
HOSTS_VARIABLE = "FRESHET_NOTIFY_HOSTS"
MAX_REASON = 500
MAIL_ADDRESS = r"[A-Za-z0-9_%+-]+(\.[A-Za-z0-9_%+-]+)*@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+"
"""What people have for addresses; what else RFC 5322 allows is of use to attackers only."""
MAX_LOCAL, MAX_DOMAIN = 64, 253


@dataclass(frozen=True, slots=True)
class Last:
    """How the newest message of a subscription fared."""

    event: str
    outcome: Outcome
    at: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Somebody who wants to be told: of one connection, or of all connections of an installation."""

    id: str
    kind: Kind
    to: str = field(repr=False)
    """A mail address, or a URL, which may hold a secret."""
    events: frozenset[Event]
    created_at: datetime
    connection_id: str | None = None
    installation_id: int | None = None
    paused: bool = False
    last: Last | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """The trouble of a connection that a subscription knows of. `since` is when it began, whatever became of it meanwhile."""

    event: Trouble
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Wanted:
    """A subscription that holds for a connection, and what it knows. What began before `since` is no news to it."""

    subscription_id: str
    kind: Kind
    to: str = field(repr=False)
    events: frozenset[Event]
    since: datetime
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """How the newest commit of a connection's branch stands."""

    sha: str
    lineage_sha: str | None = None
    extracted_at: datetime | None = None
    extraction_id: str | None = None
    """The newest extraction of the commit; of the lineage when that is of the commit."""
    status: Status | None = None
    conclusion: str | None = None
    title: str = ""
    path: str | None = None
    finished_at: datetime | None = None
    waiting_since: datetime | None = None
    """When the first extraction was queued of those that came after the last one with a verdict."""
    behind_since: datetime | None = None
    """When the first extraction was queued of those that came after the lineage."""

    @property
    def is_current(self) -> bool:
        """The lineage is of this commit."""
        return self.lineage_sha == self.sha

    @property
    def is_left_out(self) -> bool:
        """Somebody does not want it extracted."""
        return self.status == "failed" and self.conclusion == "skipped"

    @property
    def is_broken(self) -> bool:
        """Its extraction ended by the project's own fault."""
        return self.status == "failed" and self.conclusion in FAULTS

    @property
    def reason(self) -> str:
        """What two failures have in common that are the same to people: what it is, and in which file."""
        return f"{self.title} {self.path or ''}".strip()[:MAX_REASON]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a subscription is to know from now on (`told`), what it is to be told now, and when to look again without being asked."""

    told: Told | None
    event: Event | None = None
    again_at: datetime | None = None


def judge(head: Head, wanted: Wanted, now: datetime, patience: timedelta) -> Verdict:
    """Decide what a subscription is told. `patience` is how long a commit may wait before the lineage is stale.

    A subscription that hears of failures is not told the same once more as a stale lineage; one that hears only of stale lineages is,
    whatever the cause.
    """
    told = wanted.told
    follows = wanted.events - {"recovery"} or frozenset[Event]({"failure", "stale"})
    if head.is_current:
        recovered_at = max(head.extracted_at or now, told.since) if told else now
        return Verdict(None, _news("recovery", wanted, recovered_at) if told else None)
    if head.is_left_out:
        return Verdict(told)
    if head.is_broken and "failure" in follows:
        failed_at = head.finished_at or now
        return _in_trouble(Told("failure", head.reason, failed_at), failed_at, wanted)
    since = head.waiting_since if "failure" in follows else head.behind_since
    if "stale" not in follows or since is None or (told and told.event == "stale"):
        return Verdict(told)
    if now < since + patience:
        return Verdict(told, again_at=since + patience)
    return _in_trouble(Told("stale", "", since), since + patience, wanted)


def _in_trouble(found: Told, at: datetime, wanted: Wanted) -> Verdict:
    """Tell of trouble unless it is known: the same failure at another commit is the same one. It began with the trouble before, if any."""
    told = wanted.told
    if told and (told.event, told.reason) == (found.event, found.reason):
        return Verdict(told)
    return Verdict(replace(found, since=told.since) if told else found, _news(found.event, wanted, at))


def _news(event: Event, wanted: Wanted, at: datetime) -> Event | None:
    """Return the event if the subscription wants it, and it came after the subscription."""
    return event if event in wanted.events and at > wanted.since else None


def once_each(wanted: Collection[Wanted]) -> list[Wanted]:
    """Return one subscription for each address: the first, which is the connection's own where there is one."""
    found: dict[tuple[str, str], Wanted] = {}
    for one in wanted:
        found.setdefault((one.kind, one.to), one)
    return list(found.values())


# -- messages ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that is to be sent, for the `attempts`-th time (from 0). `event` may be `test`."""

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
    """When the trouble began."""
    before: Trouble | None = None
    """What a recovery ends."""


@dataclass(frozen=True, slots=True)
class Message:
    """A notice in words: `subject` and `text` for people, `document` for programs. It is the same however often it is sent."""

    id: str
    thread: str
    """The same for all messages of a subscription that tell of one connection."""
    event: str
    created_at: datetime
    subject: str
    text: str
    document: Mapping[str, Any]


# -- who may be told ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator lets subscriptions be."""

    mail: bool = False
    """There is a mail server."""
    mail_domains: frozenset[str] = frozenset()
    """Domains that whoever may push may have mail sent to; `*` stands for all."""
    hosts: frozenset[str] = frozenset()
    """Hosts of the operator's network that webhooks may go to: see `addresses.configured`."""

    def may_mail(self, address: str) -> bool:
        """Tell whether somebody who is not the operator may have mail sent to this address."""
        return bool(self.mail_domains & {"*", address.rpartition("@")[2].lower()})

    def check_url(self, url: str) -> None:
        """Raise RejectedAddressError when no webhook goes there, as far as the text of the address tells."""
        check(url, self.hosts, "checking the address of the webhook", HOSTS_VARIABLE)


def is_mail_address(text: str) -> bool:
    r"""Tell whether a text is a mail address and nothing else.

    >>> [is_mail_address(text) for text in ("ann@example.com", "ann@localhost", "a@b.c\nBcc: x@y.z", "Ann <ann@example.com>")]
    [True, False, False, False]
    """
    local, _, domain = text.rpartition("@")
    return len(local) <= MAX_LOCAL and len(domain) <= MAX_DOMAIN and re.fullmatch(MAIL_ADDRESS, text) is not None


def shown(kind: Kind, to: str) -> str:
    """Return an address for those who may see the subscription: the path of a webhook's is often its secret.

    >>> shown("webhook", "https://hooks.example.com/services/T0/B0/abcdefgh")
    'https://hooks.example.com/…efgh'
    """
    if kind == "email":
        return to
    scheme, _, rest = to.partition("://")
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}/…{path[-4:] if len(path) > 8 else ''}"  # noqa: PLR2004 - twice what is shown
