"""Digests, which are stored and logged instead of tokens, and the check whether a text can be a token."""

from __future__ import annotations

import hashlib
import re

MAX_LENGTH = 4096
"""GitHub's tokens are opaque and up to 520 characters long; longer ones are announced on https://github.blog/changelog/."""
FINGERPRINT_CHARACTERS = 16
_VISIBLE = re.compile(r"[!-~]+")


def is_usable(text: str) -> bool:
    """True if a text can be a token: visible ASCII, no longer than `MAX_LENGTH`."""
    return len(text) <= MAX_LENGTH and _VISIBLE.fullmatch(text) is not None


def digest(token: str) -> bytes:
    """The SHA-256 of a token (32 bytes), which is stored instead of it."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def fingerprint(token: str) -> str:
    """The first hexadecimal digits of the digest: tells tokens apart in the log and in rate limits."""
    return digest(token).hex()[:FINGERPRINT_CHARACTERS]
