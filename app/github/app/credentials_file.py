"""The App's credentials on disk: encrypted below `FRESHET_DATA_DIR`, with the key in a separate file.

Both files are in one directory: this protects copies without the key (such as backups that exclude `*.key`), not against someone who can
read the whole directory.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import fields
from pathlib import Path
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken
from pydantic import SecretStr

from app.core import log
from app.core.app_manifest import Identity
from app.core.errors import ConfigurationError

KEY_FILE = "app.key"
FILE = "app.json.enc"
MODE = 0o600
_SECRETS = frozenset({"private_key", "webhook_secret", "client_secret"})

_log = log.get(__name__)


class CredentialsFile:
    """The App's encrypted credentials in a directory."""

    def __init__(self, directory: Path) -> None:
        self._key_file, self._file = directory / KEY_FILE, directory / FILE

    def load(self) -> Identity | None:
        """The saved identity, None if there is none. Raises ConfigurationError if it cannot be read."""
        doing = f"reading the GitHub App's credentials from {self._file}"
        next_step = f"Restore both files from the same backup, or remove {FILE} and open /setup again."
        try:
            encrypted = self._file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(doing, f"it cannot be read ({error.strerror})", next_step) from error
        try:
            key = self._key_file.read_bytes()
        except OSError as error:
            raise ConfigurationError(doing, f"its key {self._key_file} cannot be read ({error.strerror})", next_step) from error
        self._warn_if_readable()
        try:
            return _decoded(Fernet(key).decrypt(encrypted))
        except (InvalidToken, ValueError, TypeError, KeyError):
            # Not chained: a parser's message may quote its input.
            raise ConfigurationError(doing, f"it was changed, or {KEY_FILE} is not its key", next_step) from None

    def save(self, identity: Identity) -> None:
        """Replace the saved identity. Raises OSError, and then the old one is still there."""
        _write(self._file, Fernet(self._key()).encrypt(_encoded(identity)))

    def _key(self) -> bytes:
        """The existing key, or a new one: keeping it leaves a matching pair after a crash between the two writes."""
        try:
            key = self._key_file.read_bytes()
            Fernet(key)
        except (FileNotFoundError, ValueError):
            key = Fernet.generate_key()
            _write(self._key_file, key)
        self._key_file.chmod(MODE)
        return key

    def _warn_if_readable(self) -> None:
        for path in (self._key_file, self._file):
            if path.stat().st_mode & 0o077:
                _log.warning("other users of this host can read the GitHub App's credentials", file=str(path), mend="chmod 600")


def _encoded(identity: Identity) -> bytes:
    values = {field.name: getattr(identity, field.name) for field in fields(identity)}
    return orjson.dumps({name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in values.items()})


def _decoded(document: bytes) -> Identity:
    names = {field.name for field in fields(Identity)}
    values: dict[str, Any] = {name: value for name, value in orjson.loads(document).items() if name in names}
    for name in _SECRETS & values.keys():
        values[name] = None if values[name] is None else SecretStr(values[name])
    return Identity(**values)


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically, readable by its owner only."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
