"""Service tokens: kept as hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from app.jobs import Repository
from app.ports import Caller, Right


class ServiceTokens:
    """Tokens that may read and trigger everything."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = [_digest(token) for token in tokens]

    def __contains__(self, token: str) -> bool:
        """Tell whether a token is one of them; every one is compared, so that the time tells nothing."""
        digest = _digest(token)
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0


class Service:
    """The caller with a service token."""

    everything = True

    def __init__(self, token: str) -> None:
        self.key = f"service {_digest(token).hex()[:16]}"

    async def may(self, right: Right, repository: Repository) -> bool:  # noqa: ARG002 - whatever it is: yes
        """Return True."""
        return True

    async def listed(self) -> None:
        """Return None: there is nothing to narrow."""
        return


class ServiceCallers:
    """Knows the callers with service tokens (`app.ports.Callers`)."""

    def __init__(self, tokens: ServiceTokens) -> None:
        self._tokens = tokens

    async def of(self, token: str) -> Caller | None:
        """Return the caller, None when it is no service token."""
        return Service(token) if token in self._tokens else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
