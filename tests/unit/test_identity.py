"""The App's credentials on disk: nobody else's to read, whole or not there, and no use once changed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from app.errors import ConfigurationError
from app.github.identity import FILE, KEY_FILE, IdentityFile
from app.github_app import Identity

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


def test_what_is_saved_comes_back_and_is_not_readable_meanwhile(tmp_path: Path) -> None:
    file = IdentityFile(tmp_path)
    assert file.load() is None
    file.save(IDENTITY)
    assert IdentityFile(tmp_path).load() == IDENTITY
    assert {path.name for path in tmp_path.iterdir()} == {KEY_FILE, FILE}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert not [word for word in (b"pem", b"secret", b"Freshet") if word in (tmp_path / FILE).read_bytes()]
    assert "the pem" not in repr(IDENTITY)


def test_another_identity_takes_the_place_of_the_first_under_the_same_key(tmp_path: Path) -> None:
    file = IdentityFile(tmp_path)
    file.save(IDENTITY)
    key = (tmp_path / KEY_FILE).read_bytes()
    file.save(Identity(8, SecretStr("p"), SecretStr("s")))
    assert (tmp_path / KEY_FILE).read_bytes() == key
    found = file.load()
    assert (found and found.app_id, found and found.client_secret) == (8, None)


@pytest.mark.parametrize("broken", ["changed", "cut", "another key", "no key", "no Fernet key"])
def test_files_that_do_not_fit_are_an_error_that_says_what_to_do(tmp_path: Path, broken: str) -> None:
    file, key, encrypted = IdentityFile(tmp_path), tmp_path / KEY_FILE, tmp_path / FILE
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


def test_a_directory_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        IdentityFile(tmp_path / "file").save(IDENTITY)
    IdentityFile(tmp_path).save(IDENTITY)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    with pytest.raises(OSError, match="directory"):
        IdentityFile(tmp_path).save(IDENTITY)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_file_that_others_can_read_is_told_of(tmp_path: Path) -> None:
    IdentityFile(tmp_path).save(IDENTITY)
    (tmp_path / KEY_FILE).chmod(0o644)
    with capture_logs() as logs:
        assert IdentityFile(tmp_path).load() == IDENTITY
    assert [line["file"] for line in logs] == [str(tmp_path / KEY_FILE)]
