"""What may be said of a token: whether it can be one, and what stands for it where it must not stand itself."""

from __future__ import annotations

import hashlib
import re

MAX_LENGTH = 4096
"""GitHub's are opaque, and 520 characters are known: https://github.blog/changelog/ tells of longer ones to come."""
FINGERPRINT_CHARACTERS = 16
_VISIBLE = re.compile(r"[!-~]+")


def is_usable(text: str) -> bool:
    """Tell whether a text can be a token at all: visible ASCII, and no longer than `MAX_LENGTH`."""
    return len(text) <= MAX_LENGTH and _VISIBLE.fullmatch(text) is not None


def digest(token: str) -> bytes:
    """Return what is kept in a token's place: its SHA-256, 32 bytes."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def fingerprint(token: str) -> str:
    """Return what tells tokens apart in the log and where callers are counted: the beginning of the digest, in hexadecimal digits."""
    return digest(token).hex()[:FINGERPRINT_CHARACTERS]
