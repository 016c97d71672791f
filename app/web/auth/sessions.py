"""Sessions of people who signed in with GitHub. The cookie is random and says nothing; its SHA-256 finds the row in the database.

A session ends `lifetime` after the sign-in, when it was not used for `IDLE`, when its person signs out, and when GitHub does not accept
or renew its token any more.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import orjson
from aiohttp import web
from pydantic import SecretStr

from app.core import log, token_digest
from app.core.errors import DeniedSignInError, GitHubUnavailableError, UnknownTokenError
from app.core.models.callers import Caller, Callers, Right
from app.core.models.github import Repository
from app.core.models.sessions import OperatorCheck, StoredSession, UserAuthorization, UserTokens
from app.store.sessions import Sessions
from app.web.auth.sealing import Seal

T = TypeVar("T")

IDLE = timedelta(hours=24)
"""A session that nobody used for so long ends."""
RENEW_BEFORE = timedelta(minutes=5)
"""Tokens are renewed this long before they expire."""
RECHECK_S = 5.0
"""A stream asks at most this often whether its session goes on."""
OPERATOR_S = 2.0
"""How long a page waits for GitHub's word on whether to link to the page of operators."""
REVOKED = 20
"""Tokens that are revoked on GitHub when somebody signs out everywhere, the newest; GitHub allows ten of a person."""
REVOKING_AT_ONCE = 4
REVOKING_S = 10.0
"""How long somebody who signs out waits for GitHub."""
RENEWALS_AT_ONCE = 2
"""Each holds a connection to the database while GitHub is asked."""
COOKIE = "freshet"
PURPOSE = "session"
ENDED = "the session has ended"

logger = log.get(__name__)


@dataclass(slots=True)
class _Current:
    """A session, with its tokens in clear."""

    session: StoredSession
    tokens: UserTokens


class SessionCaller:
    """A person who is signed in: may do here what GitHub allows with the token of the session."""

    everything = False

    def __init__(self, keeper: SessionKeeper, current: _Current) -> None:
        self._keeper, self._current = keeper, current
        self._checked_at = time.monotonic()
        self.user = current.session.user
        self.key = f"user {self.user.id}"

    async def may(self, right: Right, repository: Repository) -> bool:
        """True if GitHub allows it. Raises UnknownTokenError if the session has ended, or GitHubUnavailableError."""
        return await self._ask(lambda caller: caller.may(right, repository))

    async def listed(self) -> Sequence[int] | None:
        """The ids of the repositories that GitHub lists for the person. Raises as `may` does."""
        return await self._ask(lambda caller: caller.listed())

    async def check(self) -> None:
        """Raise UnknownTokenError if the session has ended, or GitHubUnavailableError."""
        await self._caller()

    async def is_operator(self, operators: OperatorCheck) -> bool:
        """Whether the person operates this service. Raises as `check` does."""
        await self._caller()
        found = await operators.include(self.user, self._current.tokens)
        if operators.asks and found != self._current.session.is_operator:
            await self._keeper.note_operator(self._current, found)
        return found

    async def seems_operator(self, operators: OperatorCheck) -> bool:
        """The same, as the session remembers it. If it does not, GitHub is asked for a short time; without an answer it is False."""
        known = self._current.session.is_operator
        if known is None and operators.asks:
            known = False
            with suppress(TimeoutError):
                async with asyncio.timeout(OPERATOR_S):
                    known = await operators.include(self.user, self._current.tokens)
            await self._keeper.note_operator(self._current, known)
        return known or False

    async def sign_out(self, *, everywhere: bool = False) -> None:
        """End the session, or all sessions of the person, and make the token useless."""
        await self._keeper.end(self._current, everywhere=everywhere)

    async def _ask(self, question: Callable[[Caller], Awaitable[T]]) -> T:
        caller = await self._caller()
        try:
            return await question(caller)
        except UnknownTokenError:
            await self._keeper.reject(self._current)
            raise

    async def _caller(self) -> Caller:
        """The caller of the current token, which others may have renewed meanwhile."""
        if time.monotonic() - self._checked_at >= RECHECK_S:
            current = await self._keeper.current(self._current.session.digest)
            if current is None:
                raise UnknownTokenError("checking the session", ENDED)
            self._current, self._checked_at = current, time.monotonic()
        caller = await self._keeper.callers.find(self._current.tokens.access.get_secret_value())
        if caller is None:
            await self._keeper.reject(self._current)
            raise UnknownTokenError("checking the session", "GitHub does not accept its token any more")
        return caller


class SessionKeeper:
    """Begins, finds, renews and ends sessions."""

    def __init__(
        self,
        store: Sessions,
        callers: Callers,
        github: UserAuthorization,
        *,
        lifetime: timedelta,
        secure: bool,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`secure`: the public URL is https, so that the cookie can be bound to exactly this host."""
        self._store, self.callers, self._github, self._clock = store, callers, github, clock
        self.lifetime, self.secure = lifetime, secure
        self.cookie = f"__Host-{COOKIE}" if secure else COOKIE
        self._slots = asyncio.Semaphore(RENEWALS_AT_ONCE)
        self._renewing: dict[bytes, asyncio.Task[_Current | None]] = {}

    async def begin(self, tokens: UserTokens) -> str:
        """Begin a session, and return its cookie's value, which is always new. Raises DeniedSignInError or GitHubUnavailableError."""
        user, value = await self._github.user(tokens), secrets.token_urlsafe(32)
        digest = token_digest.digest(value)
        await self._store.create(digest, user, self._sealed(tokens, digest), tokens.expires_at, self.lifetime)
        logger.info("signed in", user=user.login)
        return value

    async def find(self, value: str) -> SessionCaller | None:
        """The person with this cookie; None if there is no such session (any more). Raises GitHubUnavailableError."""
        current = await self.current(token_digest.digest(value)) if self._github.configured and token_digest.is_usable(value) else None
        return None if current is None else SessionCaller(self, current)

    async def current(self, digest: bytes) -> _Current | None:
        """A session with a token that is valid for some minutes; None if it has ended. Raises GitHubUnavailableError."""
        session = await self._store.find(digest, IDLE)
        if session is None:
            return None
        if self._is_due(session):
            return await self._renewed(digest)
        tokens = self._opened(session)
        if tokens is None:
            await self._store.end(digest)
        return None if tokens is None else _Current(session, tokens)

    async def forget(self, value: str) -> None:
        """End the session with this cookie, if there is one."""
        await self._store.end(token_digest.digest(value))

    async def reject(self, current: _Current) -> None:
        """End a session whose token GitHub does not accept, unless the token has been renewed meanwhile."""
        await self._store.end(current.session.digest, current.session.version)

    async def end(self, current: _Current, *, everywhere: bool) -> None:
        """End a session, or all of the same person, and revoke their tokens. GitHub may be away: then they expire by themselves."""
        await self._store.end(current.session.digest)
        others = await self._store.take_user(current.session.user.id, REVOKED - 1) if everywhere else []
        slots = asyncio.Semaphore(REVOKING_AT_ONCE)

        async def revoke(tokens: UserTokens) -> None:
            async with slots:
                with suppress(DeniedSignInError, GitHubUnavailableError):
                    await self._github.revoke(tokens)

        with suppress(TimeoutError):
            async with asyncio.timeout(REVOKING_S), asyncio.TaskGroup() as tasks:
                for tokens in (current.tokens, *map(self._opened, others)):
                    if tokens is not None:
                        tasks.create_task(revoke(tokens))

    async def note_operator(self, current: _Current, is_operator: bool) -> None:  # noqa: FBT001 - the value
        """Remember in the session whether its person is an operator."""
        current.session = replace(current.session, is_operator=is_operator)
        await self._store.note_operator(current.session.digest, is_operator)

    async def _renewed(self, digest: bytes) -> _Current | None:
        """Renew once, however many requests wait. The task goes on without them: GitHub's answer must not be lost."""
        task = self._renewing.get(digest)
        if task is None:
            task = self._renewing[digest] = asyncio.create_task(self._renew(digest), name="session renewal")
            task.add_done_callback(lambda _: self._renewing.pop(digest, None))
        return await asyncio.shield(task)

    async def _renew(self, digest: bytes) -> _Current | None:
        async with self._slots, self._store.locked(digest) as locked:
            if locked is None:
                return None
            tokens = self._opened(locked.session)
            if tokens is not None and not self._is_due(locked.session):
                return _Current(locked.session, tokens)  # another process was first
            renewed = None if tokens is None else await self._ask_to_renew(tokens)
            if renewed is None:
                await locked.end()
                return None
            if renewed is tokens:
                return _Current(locked.session, renewed)
            return _Current(await locked.renew(self._sealed(renewed, digest), renewed.expires_at), renewed)

    async def _ask_to_renew(self, tokens: UserTokens) -> UserTokens | None:
        """New tokens, the old ones if they are still valid and GitHub is away, None if GitHub refuses."""
        try:
            return await self._github.renew(tokens)
        except DeniedSignInError as error:
            logger.info("a session has ended, because its token cannot be renewed", reason=error.reason)
            return None
        except GitHubUnavailableError:
            if tokens.expires_at is not None and tokens.expires_at <= self._clock():
                raise
            return tokens

    def _is_due(self, session: StoredSession) -> bool:
        return session.tokens_expire_at is not None and session.tokens_expire_at - RENEW_BEFORE <= self._clock()

    def _sealed(self, tokens: UserTokens, digest: bytes) -> bytes:
        refresh = tokens.refresh and tokens.refresh.get_secret_value()
        content = orjson.dumps([tokens.access.get_secret_value(), refresh, tokens.expires_at and tokens.expires_at.timestamp()])
        return self._seal().close(content, digest)

    def _opened(self, session: StoredSession) -> UserTokens | None:
        """The tokens of a session; None if the App's client secret is another one since."""
        content = self._seal().open(session.tokens, session.digest)
        if content is None:
            return None
        access, refresh, expires_s = orjson.loads(content)
        expires_at = None if expires_s is None else datetime.fromtimestamp(expires_s, UTC)
        return UserTokens(SecretStr(access), expires_at, SecretStr(refresh) if refresh else None)

    def _seal(self) -> Seal:
        return Seal(self._github.secret, PURPOSE)


SESSIONS = web.AppKey("sessions", SessionKeeper)
SESSION = web.RequestKey("session", SessionCaller)


def set_up(web_app: web.Application) -> None:
    """Mark what people with a session get; the sessions themselves count as soon as there is a `SessionKeeper`."""
    web_app.on_response_prepare.append(_keep_private)


async def _keep_private(request: web.Request, response: web.StreamResponse) -> None:
    """No cache between us and a person may keep what only that person may read; the browser asks again."""
    if SESSION in request:
        response.headers.setdefault("Cache-Control", "private, no-cache")
