"""Encryption of what only this service may read: people's tokens in the database, and sign-ins under way in cookies.

AES-256-GCM (https://csrc.nist.gov/pubs/sp/800/38/d/final) with a key that HKDF (https://www.rfc-editor.org/rfc/rfc5869) derives from the
App's client secret. All processes have it, none stores it, and with another secret nothing old can be read.
"""

from __future__ import annotations

import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

NONCE_BYTES = 12
KEY_BYTES = 32
SALT = b"freshet"


class Seal:
    """Encrypts for one `purpose`: what is sealed for another cannot be opened."""

    def __init__(self, secret: SecretStr, purpose: str) -> None:
        self._cipher = _cipher(secret.get_secret_value(), purpose)

    def close(self, content: bytes, context: bytes = b"") -> bytes:
        """Encrypt; the result can only be opened with the same `context`, such as the row that it belongs to."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, context)

    def open(self, sealed: bytes, context: bytes = b"") -> bytes | None:
        """Decrypt; None if it was sealed with another secret, for another context or purpose, or was changed."""
        if len(sealed) <= NONCE_BYTES:
            return None
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except InvalidTag:
            return None


@lru_cache(maxsize=16)
def _cipher(secret: str, purpose: str) -> AESGCM:
    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt=SALT, info=purpose.encode()).derive(secret.encode()))
