"""Service tokens: kept as hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from aiohttp import web

from app.web.problems import Problem


class ServiceTokens:
    """Tokens that may read and trigger everything."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = [_digest(token) for token in tokens]

    def __contains__(self, token: str) -> bool:
        """Tell whether a token is one of them; every one is compared, so that the time tells nothing."""
        digest = _digest(token)
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0


def require(request: web.Request, tokens: ServiceTokens) -> None:
    """Let a request pass that has a token of ours. Raises Problem 401."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem(401, "A token is needed", "Send it as `Authorization: Bearer TOKEN`.", headers={"WWW-Authenticate": "Bearer"})
    if token.strip() not in tokens:
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise Problem(401, "This token is not known", "The operator sets tokens with FRESHET_API_TOKENS.", headers=challenge)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
