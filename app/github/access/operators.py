"""Who operates this service: people and teams that the operator named in `FRESHET_OPERATORS`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from urllib.parse import quote

import msgspec

from app.core import log
from app.core.errors import FreshetError, GoneError, RejectedError, SuspendedError
from app.core.models.sessions import GitHubUser, UserTokens
from app.github.access.cache import AnswerCache
from app.github.rest.http import ApiClient

YES_S = 300.0
NO_S = 60.0
MAX_PEOPLE = 10_000
ASKING = "checking with GitHub whether a person is in a team of operators"
ACTIVE = "active"
CLOSED = "GitHub does not say who is in a team of operators: the App needs the permission `members: read`, accepted by the organization"

_log = log.get(__name__)


class _Membership(msgspec.Struct):
    state: str = ""


class Operators:
    """Logins, and teams as `org/team` (implements `core.models.sessions.OperatorCheck`).

    Who is in a team is asked with the person's own token. GitHub answers if the App has the organization permission `members: read` and the
    organization has accepted it; where it does not answer, the person is no operator.
    """

    def __init__(self, names: Sequence[str], api: ApiClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._logins = frozenset(name.lower() for name in names if "/" not in name)
        self._teams = [name.partition("/")[::2] for name in names if "/" in name]
        self._api = api
        self._answers = AnswerCache[int, bool](MAX_PEOPLE, lambda answer: YES_S if answer else NO_S, clock=clock)

    @property
    def asks(self) -> bool:
        """Whether there are teams."""
        return bool(self._teams)

    def names(self, user: GitHubUser) -> bool:
        """True if the person is named, by the login that GitHub gave when the session began."""
        return user.login.lower() in self._logins

    async def include(self, user: GitHubUser, tokens: UserTokens) -> bool:
        """True if the person is named, or is an active member of a team that is."""
        if self.names(user):
            return True
        if not self._teams:
            return False
        try:
            return await self._answers.get(user.id, lambda: self._in_a_team(user, tokens))
        except FreshetError as error:
            _log.warning("cannot tell whether a person is an operator", user=user.login, reason=str(error))
            return False

    async def aclose(self) -> None:
        """Cancel running queries."""
        await self._answers.close()

    async def _in_a_team(self, user: GitHubUser, tokens: UserTokens) -> bool:
        """Ask for each team: https://docs.github.com/en/rest/teams/members#get-team-membership-for-a-user."""
        for organization, team in self._teams:
            path = f"/orgs/{organization}/teams/{team}/memberships/{quote(user.login, safe='')}"
            try:
                found = await self._api.get(path, _Membership, doing=ASKING, token=tokens.access)
            except GoneError:
                continue
            except (RejectedError, SuspendedError) as error:
                _log.warning(CLOSED, team=f"{organization}/{team}", reason=str(error))
                continue
            if found.state == ACTIVE:
                return True
        return False
