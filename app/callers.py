"""Who calls, as the web room knows them: Protocols, as of `ports`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from app.jobs import Repository

Right = Literal["read", "push"]
"""What somebody may do with a repository: read it (and its lineage), or push to it (and have it extracted)."""


class Caller(Protocol):
    """Somebody with a token."""

    @property
    def key(self) -> str:
        """Stands for the token where callers are told apart (rate limits, the log); says nothing of it."""

    @property
    def everything(self) -> bool:
        """A service token: sees all, triggers all."""

    async def may(self, right: Right, repository: Repository) -> bool:
        """Tell whether GitHub lets the caller do that. Raises GitHubUnavailableError: being away is never a yes."""

    async def listed(self) -> Sequence[int] | None:
        """Return the ids of the repositories that GitHub lists for the caller; None: it lists none, each is to be asked about."""


class Callers(Protocol):
    """Who is behind a token."""

    async def of(self, token: str) -> Caller | None:
        """Return the caller, None when nobody knows the token. Raises GitHubUnavailableError."""
