"""Service tokens, stored as hashes and compared in constant time, and the chain of caller lookups."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from app.core import token_digest
from app.core.models.callers import Caller, Callers, Right
from app.core.models.github import Repository
from app.web.auth.token_file import TokenFile


class ServiceTokens:
    """Tokens that may read and trigger everything: `fixed` ones from the configuration, and those of a file."""

    def __init__(self, fixed: Iterable[str], file: TokenFile | None = None) -> None:
        self._digests = [token_digest.digest(token) for token in fixed]
        self._file = file

    async def contains(self, token: str) -> bool:
        """Compare with every token, so that the time taken reveals nothing."""
        return await self.contains_digest(token_digest.digest(token))

    async def contains_digest(self, digest: bytes) -> bool:
        """The same for the digest of a token."""
        digests = [*self._digests, *(await self._file.digests() if self._file else ())]
        return sum(hmac.compare_digest(digest, one) for one in digests) > 0


class Service:
    """The caller with a service token."""

    everything = True

    def __init__(self, tokens: ServiceTokens, token: str) -> None:
        self._tokens, self._digest = tokens, token_digest.digest(token)
        self.key = token_digest.fingerprint(token)

    async def may(self, right: Right, repository: Repository) -> bool:  # noqa: ARG002 - it has every right
        """As long as the operator has not removed the token."""
        return await self._tokens.contains_digest(self._digest)

    async def listed(self) -> None:
        """None: lists are not narrowed."""
        return


class ServiceCallers:
    """Looks up service tokens."""

    def __init__(self, service_tokens: ServiceTokens) -> None:
        self._tokens = service_tokens

    async def find(self, token: str) -> Caller | None:
        """The caller, or None if it is not a service token."""
        return Service(self._tokens, token) if await self._tokens.contains(token) else None


class EitherCallers:
    """Tries several lookups in order; the first that knows a token ends the search, so a service token is never sent to GitHub."""

    def __init__(self, *callers: Callers) -> None:
        self._callers = callers

    async def find(self, token: str) -> Caller | None:
        """The caller, or None if no lookup knows the token. Raises GitHubUnavailableError."""
        for callers in self._callers:
            caller = await callers.find(token)
            if caller is not None:
                return caller
        return None
