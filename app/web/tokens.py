"""Service tokens: kept as hashes, compared in constant time; and who else may be behind a token."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from app import tokens
from app.callers import Caller, Callers, Right
from app.jobs import Repository
from app.web.token_file import TokenFile


class ServiceTokens:
    """Tokens that may read and trigger everything: some for good, and those of a file, if there is one."""

    def __init__(self, fixed: Iterable[str], file: TokenFile | None = None) -> None:
        self._digests = [tokens.digest(token) for token in fixed]
        self._file = file

    async def hold(self, token: str) -> bool:
        """Tell whether a token is one of them; every one is compared, so that the time tells nothing."""
        digest = tokens.digest(token)
        known = [*self._digests, *(await self._file.digests() if self._file else ())]
        return sum(hmac.compare_digest(digest, one) for one in known) > 0


class Service:
    """The caller with a service token."""

    everything = True

    def __init__(self, token: str) -> None:
        self.key = tokens.fingerprint(token)

    async def may(self, right: Right, repository: Repository) -> bool:  # noqa: ARG002 - whatever it is: yes
        """Return True."""
        return True

    async def listed(self) -> None:
        """Return None: there is nothing to narrow."""
        return


class ServiceCallers:
    """Knows the callers with service tokens (`app.ports.Callers`)."""

    def __init__(self, service_tokens: ServiceTokens) -> None:
        self._tokens = service_tokens

    async def of(self, token: str) -> Caller | None:
        """Return the caller, None when it is no service token."""
        return Service(token) if await self._tokens.hold(token) else None


class EitherCallers:
    """Knows whom one of several knows, asked one after the other: a service token is shown to nobody else."""

    def __init__(self, *callers: Callers) -> None:
        self._callers = callers

    async def of(self, token: str) -> Caller | None:
        """Return the caller, None when none of them knows the token. Raises GitHubUnavailableError."""
        for callers in self._callers:
            caller = await callers.of(token)
            if caller is not None:
                return caller
        return None
