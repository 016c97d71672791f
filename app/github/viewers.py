"""Who calls with a token of GitHub's, and what it lets him do (`app.ports.Callers`): asked of GitHub, and believed for a minute at most.

Only digests of tokens are kept. Whatever is uncertain is an error that says so, and never a yes.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from cachetools import TLRUCache
from pydantic import SecretStr

from app import log, tokens
from app.callers import Caller, Right
from app.errors import GitHubUnavailableError, UnknownTokenError
from app.github.api import Basic
from app.github.grants import Told, kind_of, told
from app.github.questions import ASKING, Questions
from app.github.remembered import Moment, Remembered
from app.jobs import Repository
from app.ports import Bell

T = TypeVar("T")

YES_S = 60.0
NO_S = 10.0
LIST_S = 60.0
BELONGING_S = 3600.0
"""Whose App a token is of never changes; that it is good is another question."""
FORGET_S = 3600.0
MAX_TOKENS = 10_000
MAX_RIGHTS = 100_000
INVISIBLE = Told(read=False, push=False)

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class _Rest:
    """Until when GitHub wants to be left alone with a token, and what it said."""

    until: float
    reason: str


class Viewer:
    """Somebody with a token of GitHub's."""

    everything = False

    def __init__(self, viewers: Viewers, token: str) -> None:
        self._viewers = viewers
        self.token, self.kind, self.digest = SecretStr(token), kind_of(token), tokens.digest(token)
        self.key = tokens.fingerprint(token)

    async def may(self, right: Right, repository: Repository) -> bool:
        """Tell whether GitHub lets the token do that. Raises UnknownTokenError or GitHubUnavailableError."""
        return await self._viewers.may(self, right, repository)

    async def listed(self) -> Sequence[int] | None:
        """Return the ids of the repositories that GitHub lists for the token. Raises likewise."""
        return await self._viewers.listed(self)


class Viewers:
    """Knows all tokens that GitHub knows, but for those of other Apps' users where our App's client is known."""

    def __init__(self, questions: Questions, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._questions, self._clock = questions, clock
        self._client: Basic | None = None
        self._client_missed = False
        self._good = Remembered[bytes, bool](MAX_TOKENS, _lasts_s, clock=clock)
        self._ours = Remembered[bytes, bool](MAX_TOKENS, lambda ours: BELONGING_S if ours else NO_S, clock=clock)
        self._rights = Remembered[tuple[bytes, int, Right], bool](MAX_RIGHTS, _lasts_s, clock=clock)
        self._lists = Remembered[bytes, tuple[int, ...] | None](MAX_TOKENS, lambda _: LIST_S, clock=clock)
        self._resting = TLRUCache[bytes, _Rest](MAX_TOKENS, ttu=_rests_until, timer=clock)

    def become(self, client_id: str | None, client_secret: SecretStr | None, addresses: tuple[str, str]) -> None:
        """Take the users of that App for ours from now on, at these addresses of GitHub's API and its server."""
        self._client = Basic(client_id, client_secret) if client_id and client_secret else None
        self._questions.point_at(*addresses)
        self._ours.forget()
        self.forget()

    def forget(self) -> None:
        """Believe nothing of what GitHub said so far: something there is other than before."""
        for remembered in (self._good, self._rights, self._lists):
            remembered.forget()

    async def run(self, bell: Bell) -> None:
        """Forget, for ever, whenever GitHub told of a change to one of the processes that share the database."""
        while True:
            await bell.wait(FORGET_S)
            self.forget()

    async def aclose(self) -> None:
        """End the questions that are on their way."""
        for remembered in (self._good, self._ours, self._rights, self._lists):
            await remembered.close()

    async def of(self, token: str) -> Caller | None:
        """Return who has this token, None when GitHub knows nobody. Raises GitHubUnavailableError."""
        if not tokens.is_usable(token):
            return None
        viewer = Viewer(self, token)
        # First what costs our client nothing: it has so many requests an hour, and anybody can think of tokens.
        if not await self._good.get(viewer.digest, lambda: self._ask(viewer, lambda: self._questions.is_good(viewer.token))):
            return None
        return viewer if viewer.kind != "app_user" or await self._is_ours(viewer) else None

    async def may(self, viewer: Viewer, right: Right, repository: Repository) -> bool:
        """Tell whether GitHub lets a token do that. Raises UnknownTokenError or GitHubUnavailableError."""
        key = (viewer.digest, repository.id, right)
        return await self._rights.get(key, lambda: self._ask(viewer, lambda: self._look(viewer, right, repository)))

    async def listed(self, viewer: Viewer) -> tuple[int, ...] | None:
        """Return the ids of the repositories that GitHub lists for a token. Raises likewise."""
        return await self._lists.get(viewer.digest, lambda: self._ask(viewer, lambda: self._list(viewer)))

    async def _is_ours(self, viewer: Viewer) -> bool:
        """Tell whether a user's token of some App is one of ours: what he lets another App do is not for that App to do here."""
        client = self._client
        if client is None:
            if not self._client_missed:
                self._client_missed = True
                mend = "set GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET"
                _log.warning("tokens of users of other Apps are not told apart from those of ours", mend=mend)
            return True
        return await self._ours.get(viewer.digest, lambda: self._questions.is_of(client, viewer.token))

    async def _look(self, viewer: Viewer, right: Right, repository: Repository) -> bool:
        """Ask what a repository is to a token, and where that does not tell, for the thing itself."""
        moment = self._rights.moment()
        described = await self._questions.describe(viewer.kind, viewer.token, repository)
        if described is not None and viewer.kind == "app_user" and self._client is not None:
            # It is of our App, which reads contents wherever it is installed.
            described = replace(described, contents=True)
        known = INVISIBLE if described is None else told(viewer.kind, described)
        self._note(viewer, repository.id, known, moment)
        answer = known.of(right)
        if answer is not None or described is None:
            return bool(answer)
        if right == "read":
            return await self._questions.reads_contents(viewer.token, described)
        return await self._questions.pushes(viewer.token, described.full_name)

    async def _list(self, viewer: Viewer) -> tuple[int, ...] | None:
        """Ask for the list, and note what it tells of each repository."""
        moment = self._rights.moment()
        listed = await self._questions.listing(viewer.kind, viewer.token)
        if listed is None:
            return None
        for one in listed:
            self._note(viewer, one.id, told(viewer.kind, one.described), moment)
        return tuple(one.id for one in listed)

    def _note(self, viewer: Viewer, repository_id: int, known: Told, moment: Moment) -> None:
        rights: tuple[Right, ...] = ("read", "push")
        for right in rights:
            answer = known.of(right)
            if answer is not None:
                self._rights.put((viewer.digest, repository_id, right), answer, moment)

    async def _ask(self, viewer: Viewer, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, unless GitHub wants to be left alone with this token; what it says of the token itself is noted."""
        resting = self._resting.get(viewer.digest)
        if resting is not None:
            raise GitHubUnavailableError(ASKING, resting.reason, retry_after_s=resting.until - self._clock())
        moment = self._good.moment()
        try:
            return await ask()
        except UnknownTokenError:
            self._good.put(viewer.digest, False, moment)  # noqa: FBT003 - the answer itself
            raise
        except GitHubUnavailableError as error:
            if error.retry_after_s is not None:
                self._resting[viewer.digest] = _Rest(self._clock() + error.retry_after_s, error.reason)
            raise


def _lasts_s(answer: bool) -> float:  # noqa: FBT001 - the answer itself
    return YES_S if answer else NO_S


def _rests_until(_digest: bytes, rest: _Rest, _now: float) -> float:
    return rest.until
