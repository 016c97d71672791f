"""The double's state: plain data, changed by the request handlers and by :class:`~tests.double.GitHubDouble`."""

from __future__ import annotations

import itertools
import secrets
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]
Clock: TypeAlias = Callable[[], datetime]
TokenForm: TypeAlias = Literal["short", "long", "alternate"]
AccountType: TypeAlias = Literal["User", "Organization"]
Role: TypeAlias = Literal["pull", "push", "admin"]

# Contract: the App requests these when it is registered.
DEFAULT_PERMISSIONS = {"checks": "write", "contents": "read", "metadata": "read"}
DEFAULT_EVENTS = ("push", "repository")


def system_clock() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Account:
    """A user or an organisation."""

    id: int
    login: str
    type: AccountType


@dataclass
class App:
    """The only GitHub App of this GitHub, with everything that its operator would copy into the configuration."""

    id: int
    client_id: str
    slug: str
    private_key_pem: str
    public_key_pem: str
    webhook_secret: str
    created_at: datetime
    webhook_url: str | None = None
    hook_id: int = 0
    client_secret: str = field(default_factory=lambda: secrets.token_hex(20))
    permissions: dict[str, str] = field(default_factory=lambda: dict(DEFAULT_PERMISSIONS))
    events: tuple[str, ...] = DEFAULT_EVENTS
    callback_urls: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The display name behind the slug."""
        return self.slug.replace("-", " ").title()


@dataclass(eq=False)
class Repository:
    """A repository; ``directory`` is its bare git repository, ``id`` never changes."""

    id: int
    full_name: str
    private: bool
    default_branch: str
    directory: Path
    created_at: datetime
    pushed_at: datetime | None = None
    archived: bool = False
    fork: bool = False

    @property
    def owner(self) -> str:
        """Login of the account that owns the repository."""
        return self.full_name.partition("/")[0]

    @property
    def name(self) -> str:
        """Name within the owner's account."""
        return self.full_name.partition("/")[2]


@dataclass(eq=False)
class PullRequest:
    """A pull request of ``branch`` in ``head_repository``, which is a fork or ``repository`` itself, against ``base_branch``."""

    id: int
    number: int
    repository: Repository
    head_repository: Repository
    branch: str
    base_branch: str
    head_sha: str
    created_at: datetime
    updated_at: datetime
    title: str = "Change models"
    draft: bool = False
    open: bool = True
    merged_sha: str | None = None


@dataclass(eq=False)
class Installation:
    """The App on one account; ``repository_ids`` is None for all of the account's repositories."""

    id: int
    account: Account
    repository_ids: set[int] | None
    permissions: dict[str, str]
    created_at: datetime
    suspended_at: datetime | None = None


@dataclass
class Token:
    """An installation token, or a user token if ``user`` is set; limited to ``repository_ids`` unless None.

    A user's is classic when it has ``scopes``, an App's when it has a ``client_id``, and fine-grained otherwise.
    An installation token without an installation is of an App that is not ours, such as GitHub Actions.
    """

    value: str
    expires_at: datetime
    permissions: dict[str, str]
    installation_id: int | None = None
    repository_ids: frozenset[int] | None = None
    user: str | None = None
    roles: dict[int, Role] = field(default_factory=dict)
    scopes: frozenset[str] | None = None
    client_id: str | None = None
    refresh: str | None = None
    """The refresh token that renews it."""
    refresh_expires_at: datetime | None = None


@dataclass(frozen=True)
class Grant:
    """A person authorized the App: what belongs to a code that has not been exchanged yet. ``challenge`` is that of PKCE."""

    login: str
    redirect_url: str
    challenge: str | None
    expires_at: datetime


@dataclass(frozen=True)
class Transition:
    """One state of a check run as a user sees it."""

    at: datetime
    status: str
    conclusion: str | None
    title: str | None


@dataclass(eq=False)
class CheckRun:
    """The current state of a check run; ``history`` has all states, oldest first."""

    id: int
    suite_id: int
    repository_id: int
    name: str
    head_sha: str
    started_at: datetime
    status: str = "queued"
    conclusion: str | None = None
    completed_at: datetime | None = None
    external_id: str | None = None
    details_url: str | None = None
    title: str | None = None
    summary: str | None = None
    text: str | None = None
    annotations: list[Json] = field(default_factory=list)
    actions: list[Json] = field(default_factory=list)
    history: list[Transition] = field(default_factory=list)
    app_id: int | None = None
    """Of another App, which made it; None: of ours."""


@dataclass
class Delivery:
    """One attempt to deliver an event; ``guid`` is the X-GitHub-Delivery header and is shared by all attempts.

    ``status_code`` is 0 until there is a response, 502 if nothing responded, 504 after the time limit.
    """

    id: int
    guid: str
    event: str
    action: str | None
    payload: Json
    url: str
    delivered_at: datetime
    installation_id: int | None = None
    repository_id: int | None = None
    redelivery: bool = False
    request_headers: dict[str, str] = field(default_factory=dict)
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str = ""
    sent_s: float = 0.0
    """On the monotonic clock."""
    duration_s: float = 0.0
    status: str = "pending"
    status_code: int = 0


@dataclass
class RecordedRequest:
    """One request of the App and its response; ``status`` is 0 while it is served and if the connection was reset."""

    at: datetime
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    json: object = None
    status: int = 0
    response_json: object = None


@dataclass
class State:
    """Everything on this GitHub. Handlers change it without locks: no change spans an await."""

    app: App
    root: Path
    clock: Clock
    token_form: TokenForm = "alternate"
    token_lifetime_s: int = 3600
    tree_limit: int = 100_000
    rate_limit: int = 5000
    plain_git: bool = False
    """Serve git as other hosts do: protocol version 0, and only commits with a branch or tag."""
    git_bytes: int = 0
    """What git was sent so far."""
    requests_used: dict[str, int] = field(default_factory=dict)
    api_url: str = ""
    server_url: str = ""
    accounts: dict[str, Account] = field(default_factory=dict)
    repositories: dict[int, Repository] = field(default_factory=dict)
    former_names: dict[str, int] = field(default_factory=dict)
    pull_requests: list[PullRequest] = field(default_factory=list)
    app_owner: str = "app-owner"
    registrations: dict[str, tuple[App, str]] = field(default_factory=dict)
    """Apps made from a manifest, with their owners, by codes that have not been exchanged yet."""
    installations: dict[int, Installation] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    person: str = ""
    """Who is signed in on GitHub in browsers without a cookie."""
    denies: set[str] = field(default_factory=set)
    roles: dict[str, dict[int, Role]] = field(default_factory=dict)
    """Roles in repositories by login, for tokens of the web flow."""
    teams: dict[str, dict[str, str]] = field(default_factory=dict)
    """States of membership (``active``, ``pending``) by team (``org/slug``) and login."""
    grants: dict[str, Grant] = field(default_factory=dict)
    user_token_lifetime_s: int | None = 8 * 3600
    """None: the App opted out of tokens that expire."""
    refresh_token_lifetime_s: int = 15_897_600
    refreshed: int = 0
    check_suites: dict[tuple[int, str], int] = field(default_factory=dict)
    check_runs: dict[int, CheckRun] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    requests: list[RecordedRequest] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1_000_001))

    def now(self) -> datetime:
        """GitHub's time, in whole seconds as in its responses."""
        return self.clock().replace(microsecond=0)

    def account(self, login: str, kind: AccountType = "Organization") -> Account:
        """The account with that login, made on first use."""
        if login not in self.accounts:
            self.accounts[login] = Account(next(self.ids), login, kind)
        return self.accounts[login]

    def repository(self, full_name: str) -> Repository | None:
        """The repository of that name; like GitHub, without regard to case."""
        lowered = full_name.lower()
        return next((r for r in self.repositories.values() if r.full_name.lower() == lowered), None)

    def installed(self, installation: Installation) -> list[Repository]:
        """The repositories that an installation reaches, oldest first."""
        owned = [r for r in self.repositories.values() if r.owner == installation.account.login]
        chosen = installation.repository_ids
        return [r for r in owned if chosen is None or r.id in chosen]

    def installation_of(self, repository: Repository) -> Installation | None:
        """The installation that reaches a repository, or None."""
        return next((i for i in self.installations.values() if repository in self.installed(i)), None)

    def check_suite(self, repository: Repository, sha: str) -> int:
        """The id of the App's check suite on a commit, made on first use."""
        key = (repository.id, sha)
        if key not in self.check_suites:
            self.check_suites[key] = next(self.ids)
        return self.check_suites[key]


def node_id(kind: str, number: int) -> str:
    """An opaque node id in the shape of GitHub's."""
    return f"{kind}_{b64encode(str(number).encode()).decode().rstrip('=')}"


def timestamp(moment: datetime | None) -> str | None:
    """A time as GitHub writes it: RFC 3339, UTC, whole seconds, ``Z``."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
