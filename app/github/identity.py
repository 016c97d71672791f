"""Who the App is, kept between starts: encrypted below `FRESHET_DATA_DIR`, with the key in a file of its own.

The two files lie side by side, so this protects what leaves the directory without the key (a copy, a backup that leaves `*.key` out),
not against somebody who can read all of it.
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

from app import log
from app.errors import ConfigurationError
from app.github_app import Identity

KEY_FILE = "app.key"
FILE = "app.json.enc"
MODE = 0o600
_SECRETS = frozenset({"private_key", "webhook_secret", "client_secret"})

_log = log.get(__name__)


class IdentityFile:
    """The App's credentials in a directory of ours."""

    def __init__(self, directory: Path) -> None:
        self._key_file, self._file = directory / KEY_FILE, directory / FILE

    def load(self) -> Identity | None:
        """Return the identity that was saved, None when there is none. Raises ConfigurationError when it cannot be read."""
        doing = f"reading the GitHub App's credentials from {self._file}"
        next_step = f"Bring back both files from one backup, or remove {FILE} and open /setup again."
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
        self._warn_of_readers()
        try:
            return _decoded(Fernet(key).decrypt(encrypted))
        except (InvalidToken, ValueError, TypeError, KeyError):
            # Not chained: what a parser says can quote what it parsed.
            raise ConfigurationError(doing, f"it was changed, or {KEY_FILE} is not its key", next_step) from None

    def save(self, identity: Identity) -> None:
        """Keep an identity in place of any other. Raises OSError; then what was there before is still there."""
        _write(self._file, Fernet(self._key()).encrypt(_encoded(identity)))

    def _key(self) -> bytes:
        """Return the key of before, so that a crash between the two files leaves a pair that fits; else a new one."""
        try:
            key = self._key_file.read_bytes()
            Fernet(key)
        except (FileNotFoundError, ValueError):
            key = Fernet.generate_key()
            _write(self._key_file, key)
        self._key_file.chmod(MODE)
        return key

    def _warn_of_readers(self) -> None:
        for path in (self._key_file, self._file):
            if path.stat().st_mode & 0o077:
                _log.warning("the GitHub App's credentials can be read by other users of this host", file=str(path), mend="chmod 600")


def _encoded(identity: Identity) -> bytes:
    values = {field.name: getattr(identity, field.name) for field in fields(identity)}
    return orjson.dumps({name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in values.items()})


def _decoded(document: bytes) -> Identity:
    known = {field.name for field in fields(Identity)}
    values: dict[str, Any] = {name: value for name, value in orjson.loads(document).items() if name in known}
    for name in _SECRETS & values.keys():
        values[name] = None if values[name] is None else SecretStr(values[name])
    return Identity(**values)


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; nobody else can read it at any time."""
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
