"""What is wrong with the GitHub App, decided from what GitHub says of it: one finding each, for `doctor` and for `/setup`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Self

from app.errors import ConfigurationError, GoneError, RejectedError
from app.github_app import AppManifest

SHOWN_FAILURES = 10
CHECKING = "checking the GitHub App's credentials"
_LEVELS = {"": 0, "read": 1, "write": 2, "admin": 3}
_MEANINGS: Mapping[int, str] = {
    401: "the signature did not fit: the webhook secret here and on GitHub differ",
    404: "nothing answers at that address: is it BACKEND_URL's, and does the proxy in front pass it on?",
    502: "GitHub could not connect: is BACKEND_URL reachable from GitHub, with a certificate that it trusts?",
    504: "the answer took too long",
}
_REPAIR = "`POST BACKEND_URL/api/webhooks/github/setup` sets address and secret anew, and so does the App's page on GitHub"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a checkup. `text` is for operators: it can name addresses, never secrets."""

    name: str
    well: bool
    text: str

    @classmethod
    def ok(cls, name: str, text: str) -> Self:
        """Return a line about what is as it should be."""
        return cls(name, well=True, text=text)

    @classmethod
    def bad(cls, name: str, text: str) -> Self:
        """Return a line about what is not; `text` says what to do."""
        return cls(name, well=False, text=text)


@dataclass(frozen=True, slots=True)
class Checkup:
    """The App as GitHub knows it, as far as it does, and what was found."""

    name: str
    html_url: str
    findings: tuple[Finding, ...]

    @property
    def well(self) -> bool:
        """Tell whether nothing is wrong."""
        return all(finding.well for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Hook:
    """The App's webhook as GitHub shows it."""

    url: str
    content_type: str
    insecure_ssl: str
    has_secret: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of GitHub to deliver an event. `status_code` is HTTP's, or what GitHub shows when nobody answered."""

    guid: str
    event: str
    status_code: int
    delivered_at: datetime

    @property
    def well(self) -> bool:
        """Tell whether it was answered as GitHub wants it."""
        return HTTPStatus.OK <= self.status_code < HTTPStatus.MULTIPLE_CHOICES


@dataclass(frozen=True, slots=True)
class Deliveries:
    """How recent attempts went."""

    total: int
    ok: int
    failed: int
    last_delivered_at: datetime | None
    failures: tuple[Attempt, ...]
    """The newest failed ones, newest first."""


def summarise(attempts: Sequence[Attempt]) -> Deliveries:
    """Count attempts, in whatever order they come."""
    newest_first = sorted(attempts, key=lambda attempt: attempt.delivered_at, reverse=True)
    failures = [attempt for attempt in newest_first if not attempt.well]
    last = newest_first[0].delivered_at if newest_first else None
    return Deliveries(len(attempts), len(attempts) - len(failures), len(failures), last, tuple(failures[:SHOWN_FAILURES]))


def refused(error: GoneError | RejectedError) -> ConfigurationError:
    """Return what it means that GitHub did not take our JWT: another id, another key, or another time of day."""
    status = error.status if isinstance(error, RejectedError) else HTTPStatus.NOT_FOUND
    if status == HTTPStatus.NOT_FOUND:
        reason, next_step = "there is no App with this id", "Check GITHUB_APP_ID, and that GITHUB_API_URL is of the App's GitHub."
    elif "'iat'" in error.reason or "'exp'" in error.reason:
        reason, next_step = "this host's clock and GitHub's differ", "Set the clock by NTP."
    elif status == HTTPStatus.UNAUTHORIZED:
        reason = "the private key is not one of this App"
        next_step = "GITHUB_APP_ID and GITHUB_PRIVATE_KEY have to be of the same App; its page on GitHub can make a new key."
    else:
        return ConfigurationError(CHECKING, error.reason, "The App's page on GitHub may tell more.")
    return ConfigurationError(CHECKING, f"{reason} ({error.reason})", next_step)


def check_permissions(manifest: AppManifest, granted: Mapping[str, str]) -> Finding:
    """Compare what the App may do with `app.yml`: too little breaks things, too much is nobody's wish."""
    wanted = manifest.permissions
    missing = [f"{name}: {level}" for name, level in wanted.items() if _rank(granted.get(name)) < _rank(level)]
    extra = [f"{name}: {level}" for name, level in granted.items() if _rank(level) > _rank(wanted.get(name))]
    if not missing and not extra:
        return Finding.ok("permissions", ", ".join(f"{name}: {level}" for name, level in wanted.items()))
    texts = [f"missing {', '.join(missing)}"] if missing else []
    texts += [f"more than needed: {', '.join(extra)}"] if extra else []
    return Finding.bad(
        "permissions", f"{'; '.join(texts)}. Change them on the App's page on GitHub, and accept them where it is installed."
    )


def check_events(manifest: AppManifest, events: Sequence[str]) -> Finding:
    """Compare what the App hears with `app.yml`; more is only noise."""
    missing = [event for event in manifest.events if event not in events]
    if missing:
        return Finding.bad("events", f"missing {', '.join(missing)}. Subscribe to them on the App's page on GitHub.")
    return Finding.ok("events", ", ".join(manifest.events))


def check_secret(hook: Hook, attempts: Sequence[Attempt]) -> Finding:
    """Judge the webhook's secret. GitHub never shows it: whether it fits shows in how deliveries are answered."""
    if not hook.has_secret:
        return Finding.bad("webhook secret", f"GitHub signs nothing, because the App's webhook has no secret. {_REPAIR}.")
    if attempts and _newest(attempts).status_code == HTTPStatus.UNAUTHORIZED:
        return Finding.bad("webhook secret", f"the newest delivery was answered 401: {_MEANINGS[401]}. {_REPAIR}.")
    return Finding.ok("webhook secret", "set here and on GitHub")


def check_url(hook: Hook, wanted: str) -> Finding:
    """Compare where GitHub posts deliveries with where we listen."""
    if hook.url.rstrip("/") != wanted:
        here = f"GitHub posts to {hook.url or 'no address'}, but BACKEND_URL makes it {wanted}"
        return Finding.bad("webhook URL", f"{here}. {_REPAIR}.")
    if hook.insecure_ssl not in ("0", "0.0") and wanted.startswith("https:"):
        return Finding.bad("webhook URL", f"{hook.url}, but GitHub does not check its certificate. {_REPAIR}.")
    return Finding.ok("webhook URL", hook.url)


def check_deliveries(attempts: Sequence[Attempt]) -> Finding:
    """Judge by the newest attempt whether GitHub reaches us now; older failures are told along."""
    name = "webhook reachability"
    if not attempts:
        return Finding.ok(name, "GitHub has delivered nothing lately, so nothing is known. Install the App, or push.")
    summary, newest = summarise(attempts), _newest(attempts)
    when = f"{newest.event}, {newest.delivered_at:%Y-%m-%d %H:%M} UTC"
    counts = f"{summary.ok} of the last {summary.total} deliveries were answered well"
    if newest.well:
        return Finding.ok(name, f"{counts}, and so was the newest ({when})")
    meaning = _MEANINGS.get(newest.status_code, "the service's log tells why")
    return Finding.bad(name, f"the newest delivery ({when}) failed with {newest.status_code}: {meaning}. {counts}.")


def _newest(attempts: Sequence[Attempt]) -> Attempt:
    return max(attempts, key=lambda attempt: attempt.delivered_at)


def _rank(level: str | None) -> int:
    """Return the order of levels; one that we do not know is above all that we ask for."""
    return _LEVELS.get(level or "", max(_LEVELS.values()) + 1)
