"""Callers with a GitHub token, and what it permits (`core.models.callers.Callers`): GitHub decides, and its answer is cached for a minute.

Only digests of tokens are kept. An unclear answer is an error, never a yes.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from cachetools import TLRUCache
from pydantic import SecretStr

from app.core import log, token_digest
from app.core.errors import GitHubUnavailableError, UnknownTokenError
from app.core.models.callers import Caller, Right
from app.core.models.github import Repository
from app.core.wakeup import Wakeup
from app.github.access.cache import AnswerCache, QueryTime
from app.github.access.grants import ImpliedRights, implied_rights, token_kind
from app.github.access.queries import ASKING, AccessQueries
from app.github.rest.http import Basic

T = TypeVar("T")

YES_S = 60.0
NO_S = 10.0
LIST_S = 60.0
APP_S = 3600.0
"""A token's App never changes; its validity is checked separately."""
FORGET_S = 3600.0
MAX_TOKENS = 10_000
MAX_RIGHTS = 100_000
INVISIBLE = ImpliedRights(read=False, push=False)

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class _Pause:
    """Until when GitHub asks to send no requests with a token, and why."""

    until: float
    reason: str


class Viewer:
    """A caller with a GitHub token."""

    everything = False

    def __init__(self, viewers: Viewers, token: str) -> None:
        self._viewers = viewers
        self.token, self.kind, self.digest = SecretStr(token), token_kind(token), token_digest.digest(token)
        self.key = token_digest.fingerprint(token)

    async def may(self, right: Right, repository: Repository) -> bool:
        """True if GitHub allows it. Raises UnknownTokenError or GitHubUnavailableError."""
        return await self._viewers.may(self, right, repository)

    async def listed(self) -> Sequence[int] | None:
        """The ids of the repositories that GitHub lists for the token, None without a list. Raises as `may` does."""
        return await self._viewers.listed(self)


class Viewers:
    """Accepts all valid GitHub tokens, except user tokens of other Apps (if our App's client id and secret are known)."""

    def __init__(self, queries: AccessQueries, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._queries, self._clock = queries, clock
        self._client: Basic | None = None
        self._warned = False
        self._valid = AnswerCache[bytes, bool](MAX_TOKENS, _lifetime_s, clock=clock)
        self._ours = AnswerCache[bytes, bool](MAX_TOKENS, lambda ours: APP_S if ours else NO_S, clock=clock)
        self._rights = AnswerCache[tuple[bytes, int, Right], bool](MAX_RIGHTS, _lifetime_s, clock=clock)
        self._lists = AnswerCache[bytes, tuple[int, ...] | None](MAX_TOKENS, lambda _: LIST_S, clock=clock)
        self._paused = TLRUCache[bytes, _Pause](MAX_TOKENS, ttu=_paused_until, timer=clock)

    def use_app(self, client_id: str | None, client_secret: SecretStr | None, addresses: tuple[str, str]) -> None:
        """Accept the users of this App from now on; `addresses` are the URLs of GitHub's API and server."""
        self._client = Basic(client_id, client_secret) if client_id and client_secret else None
        self._queries.point_at(*addresses)
        self._ours.forget()
        self.forget()

    def forget(self) -> None:
        """Drop all cached answers about rights: something changed on GitHub."""
        for cache in (self._valid, self._rights, self._lists):
            cache.forget()

    async def run(self, wakeup: Wakeup) -> None:
        """Run forever: drop the cached answers whenever any process received a change from GitHub."""
        while True:
            await wakeup.wait(FORGET_S)
            self.forget()

    async def aclose(self) -> None:
        """Cancel running queries."""
        for cache in (self._valid, self._ours, self._rights, self._lists):
            await cache.close()

    async def find(self, token: str) -> Caller | None:
        """The caller with this token, None if GitHub does not accept it. Raises GitHubUnavailableError."""
        if not token_digest.is_usable(token):
            return None
        viewer = Viewer(self, token)
        # First the query that does not use our client's rate limit: anyone can send invented tokens.
        if not await self._valid.get(viewer.digest, lambda: self._ask(viewer, lambda: self._queries.is_valid(viewer.token))):
            return None
        return viewer if viewer.kind != "app_user" or await self._is_ours(viewer) else None

    async def may(self, viewer: Viewer, right: Right, repository: Repository) -> bool:
        """True if GitHub allows it. Raises UnknownTokenError or GitHubUnavailableError."""
        key = (viewer.digest, repository.id, right)
        return await self._rights.get(key, lambda: self._ask(viewer, lambda: self._query_right(viewer, right, repository)))

    async def listed(self, viewer: Viewer) -> tuple[int, ...] | None:
        """The ids of the repositories that GitHub lists for the token, None without a list. Raises as `may` does."""
        return await self._lists.get(viewer.digest, lambda: self._ask(viewer, lambda: self._query_list(viewer)))

    async def _is_ours(self, viewer: Viewer) -> bool:
        """True if an App's user token belongs to our App: access that a user gave to another App must not count here."""
        client = self._client
        if client is None:
            if not self._warned:
                self._warned = True
                mend = "set GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET"
                _log.warning("user tokens of other GitHub Apps are accepted, because our App's client is not configured", mend=mend)
            return True
        return await self._ours.get(viewer.digest, lambda: self._queries.belongs_to(client, viewer.token))

    async def _query_right(self, viewer: Viewer, right: Right, repository: Repository) -> bool:
        """Derive the right from the repository's description, or query it directly if that is not enough."""
        sent = self._rights.query_time()
        description = await self._queries.describe(viewer.kind, viewer.token, repository)
        if description is not None and viewer.kind == "app_user" and self._client is not None:
            # The token belongs to our App, which can read contents wherever it is installed.
            description = replace(description, contents=True)
        implied = INVISIBLE if description is None else implied_rights(viewer.kind, description)
        self._cache(viewer, repository.id, implied, sent)
        answer = implied.get(right)
        if answer is not None or description is None:
            return bool(answer)
        if right == "read":
            return await self._queries.can_read_contents(viewer.token, description)
        return await self._queries.can_push(viewer.token, description.full_name)

    async def _query_list(self, viewer: Viewer) -> tuple[int, ...] | None:
        """Query the list, and cache the rights that follow from it."""
        sent = self._rights.query_time()
        listed = await self._queries.list_repositories(viewer.kind, viewer.token)
        if listed is None:
            return None
        for one in listed:
            self._cache(viewer, one.id, implied_rights(viewer.kind, one.description), sent)
        return tuple(one.id for one in listed)

    def _cache(self, viewer: Viewer, repository_id: int, implied: ImpliedRights, sent: QueryTime) -> None:
        rights: tuple[Right, ...] = ("read", "push")
        for right in rights:
            answer = implied.get(right)
            if answer is not None:
                self._rights.put((viewer.digest, repository_id, right), answer, sent)

    async def _ask(self, viewer: Viewer, ask: Callable[[], Awaitable[T]]) -> T:
        """Query GitHub unless it asked to wait with this token; cache what the response says about the token."""
        pause = self._paused.get(viewer.digest)
        if pause is not None:
            raise GitHubUnavailableError(ASKING, pause.reason, retry_after_s=pause.until - self._clock())
        sent = self._valid.query_time()
        try:
            return await ask()
        except UnknownTokenError:
            self._valid.put(viewer.digest, False, sent)  # noqa: FBT003 - the answer itself
            raise
        except GitHubUnavailableError as error:
            if error.retry_after_s is not None:
                self._paused[viewer.digest] = _Pause(self._clock() + error.retry_after_s, error.reason)
            raise


def _lifetime_s(answer: bool) -> float:  # noqa: FBT001 - the answer itself
    return YES_S if answer else NO_S


def _paused_until(_digest: bytes, pause: _Pause, _now: float) -> float:
    return pause.until
