"""Who is notified of what, and where notifications may be sent. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.core.egress.addresses import check
from app.core.models.notifications import Decision, Event, HeadState, Kind, Recipient, ReportedProblem

HOSTS_VARIABLE = "FRESHET_NOTIFY_HOSTS"
MAIL_ADDRESS = r"[A-Za-z0-9_%+-]+(\.[A-Za-z0-9_%+-]+)*@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+"
"""The addresses that people have. RFC 5322 allows more, but only attackers use it."""
MAX_LOCAL, MAX_DOMAIN = 64, 253


def decide(head: HeadState, recipient: Recipient, now: datetime, stale_after: timedelta) -> Decision:
    """Decide what to report to a subscription. `stale_after` is how long a commit may wait before the lineage is stale.

    A subscription with `failure` does not get the same failure again as `stale`. One with only `stale` gets it, whatever the cause.
    """
    reported = recipient.reported
    follows = recipient.events - {"recovery"} or frozenset[Event]({"failure", "stale"})
    if head.is_current:
        recovered_at = max(head.extracted_at or now, reported.since) if reported else now
        return Decision(None, _if_subscribed("recovery", recipient, recovered_at) if reported else None)
    if head.is_left_out:
        return Decision(reported)
    if head.is_broken and "failure" in follows:
        failed_at = head.finished_at or now
        return _report(ReportedProblem("failure", head.reason, failed_at), failed_at, recipient)
    since = head.waiting_since if "failure" in follows else head.behind_since
    if "stale" not in follows or since is None or (reported and reported.event == "stale"):
        return Decision(reported)
    if now < since + stale_after:
        return Decision(reported, again_at=since + stale_after)
    return _report(ReportedProblem("stale", "", since), since + stale_after, recipient)


def _report(problem: ReportedProblem, at: datetime, recipient: Recipient) -> Decision:
    """Report a problem once: the same failure at another commit is no new one. A changed problem keeps the start of the previous one."""
    reported = recipient.reported
    if reported and (reported.event, reported.reason) == (problem.event, problem.reason):
        return Decision(reported)
    return Decision(replace(problem, since=reported.since) if reported else problem, _if_subscribed(problem.event, recipient, at))


def _if_subscribed(event: Event, recipient: Recipient, at: datetime) -> Event | None:
    """The event, if the subscription includes it and was created or resumed before `at`."""
    return event if event in recipient.events and at > recipient.since else None


def one_per_address(recipients: Collection[Recipient]) -> list[Recipient]:
    """The first recipient of each address. The connection's own subscriptions have to come before those of the installation."""
    by_address: dict[tuple[str, str], Recipient] = {}
    for recipient in recipients:
        by_address.setdefault((recipient.kind, recipient.to), recipient)
    return list(by_address.values())


@dataclass(frozen=True, slots=True)
class SubscriptionRules:
    """Where the operator lets notifications be sent."""

    mail: bool = False
    """A mail server is configured."""
    mail_domains: frozenset[str] = frozenset()
    """Domains to which people with push permission may have email sent; `*`: any."""
    hosts: frozenset[str] = frozenset()
    """Hosts that webhooks may go to even if they are not public; see `addresses.configured`."""

    def may_mail(self, address: str) -> bool:
        """True if people other than the operator may have email sent to this address."""
        return bool(self.mail_domains & {"*", address.rpartition("@")[2].lower()})

    def check_url(self, url: str) -> None:
        """Raise RejectedAddressError if the text of the URL is enough to refuse it. Names are looked up when sending."""
        check(url, self.hosts, "checking the address of the webhook", HOSTS_VARIABLE)


def is_mail_address(text: str) -> bool:
    r"""True if a text is one email address and nothing else.

    >>> [is_mail_address(text) for text in ("ann@example.com", "ann@localhost", "a@b.c\nBcc: x@y.z", "Ann <ann@example.com>")]
    [True, False, False, False]
    """
    local, _, domain = text.rpartition("@")
    return len(local) <= MAX_LOCAL and len(domain) <= MAX_DOMAIN and re.fullmatch(MAIL_ADDRESS, text) is not None


def masked_address(kind: Kind, to: str) -> str:
    """An address for display: most of a webhook's path is masked, because the path is often its secret.

    >>> masked_address("webhook", "https://hooks.example.com/services/T0/B0/abcdefgh")
    'https://hooks.example.com/…efgh'
    """
    if kind == "email":
        return to
    scheme, _, rest = to.partition("://")
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}/…{path[-4:] if len(path) > 8 else ''}"  # noqa: PLR2004 - twice the visible length
