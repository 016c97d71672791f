"""Checks of the GitHub App against GitHub's answers, one finding each, for `doctor` and `/setup`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Self
from urllib.parse import urlsplit

from app.core.app_manifest import SIGN_IN_CALLBACK_PATH, AppManifest
from app.core.errors import ConfigurationError, GoneError, RejectedError
from app.core.plurals import count

SHOWN_FAILURES = 10
SHOWN_ACCOUNTS = 5
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
CHECKING = "checking the GitHub App's credentials"
_LEVELS = {"": 0, "read": 1, "write": 2, "admin": 3}
_MEANINGS: Mapping[int, str] = {
    401: "the signature was wrong, because the webhook secrets here and on GitHub differ",
    404: "nothing answers at this address. Check BACKEND_URL, and that the proxy in front forwards the path",
    502: "GitHub could not connect. Check that GitHub can reach BACKEND_URL and trusts its certificate",
    504: "the response took too long",
}
_HARMLESS = {"merge_queues": "read", "members": "read"}
"""Useful to some. The branches of merge queues are pushed, but with the permission GitHub can send `merge_group` too; and without `members`
GitHub does not say who is in a team of `FRESHET_OPERATORS`."""
_REPAIR = "To set URL and secret again, send `POST BACKEND_URL/api/webhooks/github/setup`, or use the App's page on GitHub."


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `text` is for operators; it may contain addresses, never secrets."""

    name: str
    passed: bool
    text: str

    @classmethod
    def ok(cls, name: str, text: str) -> Self:
        """A passed check."""
        return cls(name, passed=True, text=text)

    @classmethod
    def bad(cls, name: str, text: str) -> Self:
        """A failed check; `text` includes what to do."""
        return cls(name, passed=False, text=text)


@dataclass(frozen=True, slots=True)
class Checkup:
    """The App's name and page on GitHub, as far as GitHub knows the App, and the results of all checks."""

    name: str
    html_url: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """True if every check passed."""
        return all(finding.passed for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Hook:
    """The App's webhook as GitHub shows it."""

    url: str
    content_type: str
    insecure_ssl: str
    has_secret: bool


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One attempt of GitHub to deliver an event. `status_code` is HTTP's, or GitHub's own code if there was no response."""

    guid: str
    event: str
    status_code: int
    delivered_at: datetime

    @property
    def succeeded(self) -> bool:
        """True for a status from 200 to 299."""
        return HTTPStatus.OK <= self.status_code < HTTPStatus.MULTIPLE_CHOICES


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    """Counts of recent attempts."""

    total: int
    ok: int
    failed: int
    last_delivered_at: datetime | None
    failures: tuple[DeliveryAttempt, ...]
    """The newest failures, newest first, at most `SHOWN_FAILURES`."""


def summarize(attempts: Sequence[DeliveryAttempt]) -> DeliverySummary:
    """Count attempts, which may come in any order."""
    newest_first = sorted(attempts, key=lambda attempt: attempt.delivered_at, reverse=True)
    failures = [attempt for attempt in newest_first if not attempt.succeeded]
    last = newest_first[0].delivered_at if newest_first else None
    return DeliverySummary(len(attempts), len(attempts) - len(failures), len(failures), last, tuple(failures[:SHOWN_FAILURES]))


def credentials_error(error: GoneError | RejectedError) -> ConfigurationError:
    """Explain why GitHub refused the App's JWT: wrong id, wrong key or wrong clock."""
    status = error.status if isinstance(error, RejectedError) else HTTPStatus.NOT_FOUND
    if status == HTTPStatus.NOT_FOUND:
        reason = "GitHub knows no App with this id"
        next_step = "Check GITHUB_APP_ID, and that GITHUB_API_URL is the GitHub where the App is registered."
    elif "'iat'" in error.reason or "'exp'" in error.reason:
        reason, next_step = "the clocks of this host and of GitHub differ", "Synchronize this host's clock, for example with NTP."
    elif status == HTTPStatus.UNAUTHORIZED:
        reason = "the private key does not belong to this App"
        next_step = "GITHUB_APP_ID and GITHUB_PRIVATE_KEY have to be of the same App. You can generate a new key on its page on GitHub."
    else:
        return ConfigurationError(CHECKING, error.reason, "Look at the App's page on GitHub.")
    return ConfigurationError(CHECKING, f"{reason} ({error.reason})", next_step)


def check_permissions(manifest: AppManifest, granted: Mapping[str, str]) -> Finding:
    """Compare the App's permissions with `app.yml`. More permissions than needed fail the check too, optional ones do not."""
    required, optional = manifest.permissions, manifest.optional_permissions
    useful = {**required, **optional, **_HARMLESS}
    missing = [f"{name}: {level}" for name, level in required.items() if _rank(granted.get(name)) < _rank(level)]
    extra = [f"{name}: {level}" for name, level in granted.items() if _rank(level) > _rank(useful.get(name))]
    if not missing and not extra:
        given = ", ".join(f"{name}: {level}" for name, level in {**required, **{name: useful[name] for name in granted}}.items())
        left = ", ".join(f"{name}: {level}" for name, level in optional.items() if name not in granted)
        return Finding.ok("permissions", f"{given}{f' (optional and not given: {left}, see docs/installing.md)' if left else ''}")
    texts = [f"missing {', '.join(missing)}"] if missing else []
    texts += [f"not needed: {', '.join(extra)}"] if extra else []
    next_step = "Change them on the App's page on GitHub, then accept the change in every account that installed the App."
    return Finding.bad("permissions", f"{'; '.join(texts)}. {next_step}")


def check_events(manifest: AppManifest, events: Sequence[str], granted: Mapping[str, str]) -> Finding:
    """Compare the App's events with `app.yml`: the optional ones too if it has the permission. Additional events do no harm."""
    chosen = manifest.with_options() if granted.keys() & manifest.optional_permissions.keys() else manifest
    missing = [event for event in chosen.events if event not in events]
    if missing:
        return Finding.bad("events", f"missing {', '.join(missing)}. Subscribe to them on the App's page on GitHub.")
    return Finding.ok("events", ", ".join(chosen.events))


def check_acceptance(manifest: AppManifest, granted: Mapping[str, str], installations: Mapping[str, Mapping[str, str]]) -> Finding | None:
    """Say which accounts have not accepted the App's optional permissions; None if it has none. It fails nothing.

    `installations`: the permissions that each account accepted.
    """
    optional = granted.keys() & manifest.optional_permissions.keys()
    if not optional:
        return None
    names = ", ".join(f"{name}: {manifest.optional_permissions[name]}" for name in sorted(optional))
    waiting = sorted(account for account, accepted in installations.items() if optional - accepted.keys())
    if not waiting:
        return Finding.ok("pull requests", f"{names} is accepted by every account that installed the App")
    shown = ", ".join(waiting[:SHOWN_ACCOUNTS]) + (", …" if len(waiting) > SHOWN_ACCOUNTS else "")
    text = f"{names} is not accepted yet by {count(len(waiting), 'account')} ({shown}): an owner accepts it on the page of the installation"
    return Finding.ok("pull requests", text)


def check_secret(hook: Hook, attempts: Sequence[DeliveryAttempt]) -> Finding:
    """Check the webhook's secret. GitHub never shows it, so a wrong one only shows in the status of deliveries."""
    if not hook.has_secret:
        return Finding.bad("webhook secret", f"the App's webhook has no secret, so GitHub does not sign deliveries. {_REPAIR}")
    if attempts and _newest(attempts).status_code == HTTPStatus.UNAUTHORIZED:
        return Finding.bad("webhook secret", f"the newest delivery got status 401: {_MEANINGS[401]}. {_REPAIR}")
    return Finding.ok("webhook secret", "set here and on GitHub")


def check_sign_in(public_url: str, *, has_client: bool) -> Finding:
    """Whether people can sign in on the pages. Only they would notice if the App did not know the callback URL: GitHub never shows it."""
    address = urlsplit(public_url)
    is_local = address.hostname in LOCAL_NAMES
    if has_client and (address.scheme == "https" or is_local):
        return Finding.ok("sign-in", f"with GitHub; the App's page has to have the callback URL {public_url}{SIGN_IN_CALLBACK_PATH}")
    if has_client:
        return Finding.bad("sign-in", "cookies are sent unencrypted, because BACKEND_URL is not https. Put a proxy with TLS in front.")
    mend = "Set GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET to the values on the App's page on GitHub."
    if is_local:
        return Finding.ok("sign-in", f"not configured, so pages are open to everybody on this host. {mend}")
    return Finding.bad("sign-in", f"nobody can sign in, so pages show nothing. {mend}")


def check_url(hook: Hook, expected: str) -> Finding:
    """Compare the URL of the App's webhook with ours."""
    if hook.url.rstrip("/") != expected:
        return Finding.bad(
            "webhook URL", f"GitHub sends deliveries to {hook.url or 'no URL'}, but BACKEND_URL makes it {expected}. {_REPAIR}"
        )
    if hook.insecure_ssl not in ("0", "0.0") and expected.startswith("https:"):
        return Finding.bad("webhook URL", f"{hook.url}, but GitHub does not verify its certificate. {_REPAIR}")
    return Finding.ok("webhook URL", hook.url)


def check_deliveries(attempts: Sequence[DeliveryAttempt]) -> Finding:
    """Pass if the newest attempt succeeded: GitHub can reach us now. The text counts older failures."""
    name = "webhook reachability"
    if not attempts:
        return Finding.ok(name, "not known, because GitHub has sent nothing recently. Install the App, or push.")
    summary, newest = summarize(attempts), _newest(attempts)
    when = f"{newest.event}, {newest.delivered_at:%Y-%m-%d %H:%M} UTC"
    counts = f"{summary.ok} of the last {count(summary.total, 'delivery')} succeeded"
    if newest.succeeded:
        return Finding.ok(name, f"{counts}, including the newest ({when})")
    meaning = _MEANINGS.get(newest.status_code, "the service's log has the reason")
    return Finding.bad(name, f"the newest delivery ({when}) failed with status {newest.status_code}: {meaning}. {counts}.")


def _newest(attempts: Sequence[DeliveryAttempt]) -> DeliveryAttempt:
    return max(attempts, key=lambda attempt: attempt.delivered_at)


def _rank(level: str | None) -> int:
    """The order of levels. An unknown level ranks above all others, so it counts as more than needed."""
    return _LEVELS.get(level or "", max(_LEVELS.values()) + 1)
