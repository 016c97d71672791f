"""Callers of the API, as Protocols for the web room; `github` and `web/auth` implement them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from app.core.models.github import Repository

Right = Literal["read", "push"]
"""What a caller may do with a repository: read it (and its lineage), or push to it (and trigger extractions)."""


class Caller(Protocol):
    """The owner of a token."""

    @property
    def key(self) -> str:
        """Identifies the caller in rate limits and in the log, without revealing the token."""

    @property
    def everything(self) -> bool:
        """True for a service token: it may read and trigger everything."""

    async def may(self, right: Right, repository: Repository) -> bool:
        """True if GitHub allows it. Raises GitHubUnavailableError: without GitHub, the answer is never yes."""

    async def listed(self) -> Sequence[int] | None:
        """The ids of the repositories that GitHub lists for the caller; None: there is no list, so ask `may` for each."""


class Callers(Protocol):
    """Finds the caller of a token."""

    async def find(self, token: str) -> Caller | None:
        """The caller; None if the token is unknown. Raises GitHubUnavailableError."""
