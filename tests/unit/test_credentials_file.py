"""The App's credentials on disk: readable by their owner only, written atomically, rejected when changed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from app.core.app_manifest import Identity
from app.core.errors import ConfigurationError
from app.github.app.credentials_file import FILE, KEY_FILE, CredentialsFile

IDENTITY = Identity(
    7,
    SecretStr("the pem"),
    SecretStr("the secret"),
    "Iv1",
    SecretStr("another"),
    "Freshet",
    "https://g/apps/f",
    "https://g/api/v3",
    "https://g",
)


def test_saved_credentials_are_encrypted_and_can_be_loaded(tmp_path: Path) -> None:
    file = CredentialsFile(tmp_path)
    assert file.load() is None
    file.save(IDENTITY)
    assert CredentialsFile(tmp_path).load() == IDENTITY
    assert {path.name for path in tmp_path.iterdir()} == {KEY_FILE, FILE}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert not [word for word in (b"pem", b"secret", b"Freshet") if word in (tmp_path / FILE).read_bytes()]
    assert "the pem" not in repr(IDENTITY)


def test_saving_another_identity_keeps_the_key(tmp_path: Path) -> None:
    file = CredentialsFile(tmp_path)
    file.save(IDENTITY)
    key = (tmp_path / KEY_FILE).read_bytes()
    file.save(Identity(8, SecretStr("p"), SecretStr("s")))
    assert (tmp_path / KEY_FILE).read_bytes() == key
    found = file.load()
    assert (found and found.app_id, found and found.client_secret) == (8, None)


@pytest.mark.parametrize("broken", ["changed", "cut", "another key", "no key", "no Fernet key"])
def test_files_that_do_not_match_are_an_error_with_a_next_step(tmp_path: Path, broken: str) -> None:
    file, key, encrypted = CredentialsFile(tmp_path), tmp_path / KEY_FILE, tmp_path / FILE
    file.save(IDENTITY)
    content = encrypted.read_bytes()
    if broken == "changed":
        encrypted.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    elif broken == "cut":
        encrypted.write_bytes(content[:-10])
    elif broken == "another key":
        key.unlink()
        file.save(IDENTITY)
        encrypted.write_bytes(content)
    elif broken == "no key":
        key.unlink()
    else:
        key.write_bytes(b"x")
    with pytest.raises(ConfigurationError, match=FILE) as caught:
        file.load()
    assert "/setup" in caught.value.user_text
    assert "the pem" not in caught.value.user_text


def test_a_failed_save_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        CredentialsFile(tmp_path / "file").save(IDENTITY)
    CredentialsFile(tmp_path).save(IDENTITY)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    with pytest.raises(OSError, match="directory"):
        CredentialsFile(tmp_path).save(IDENTITY)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_files_readable_by_others_are_logged(tmp_path: Path) -> None:
    CredentialsFile(tmp_path).save(IDENTITY)
    (tmp_path / KEY_FILE).chmod(0o644)
    with capture_logs() as logs:
        assert CredentialsFile(tmp_path).load() == IDENTITY
    assert [line["file"] for line in logs] == [str(tmp_path / KEY_FILE)]
