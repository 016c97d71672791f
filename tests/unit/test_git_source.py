"""Pure functions about git and tar archives."""

from __future__ import annotations

import io
import tarfile
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.core.errors import CommitGoneError, DiskFullError, FreshetError, GitHubUnavailableError, GoneError
from app.github.git.commit_tree import header, padding, parse_listing
from app.github.git.process import GitError, GitTimeoutError, clean_environ, config_environ, scrub
from app.github.git.source import credentials, error_for, failure_kind
from app.project.checkout import Entry

OID = "1a2b3c4d" + "0" * 32
TOKEN = "ghs_" + "x" * 36


def archive(path: str, content: bytes) -> tarfile.TarFile:
    data = header(path, len(content)) + content + padding(len(content)) + bytes(1024)
    assert len(data) % 512 == 0
    return tarfile.open(fileobj=io.BytesIO(data))


def test_an_archive_entry() -> None:
    with archive("models/orders.sql", b"select 1") as found:
        [member] = found.getmembers()
        assert (member.name, member.size, member.mode) == ("src/models/orders.sql", 8, 0o644)
        assert (member.uid, member.gid) == (10001, 10001)
        assert member.isreg()
        assert found.extractfile(member).read() == b"select 1"  # type: ignore[union-attr]


@given(path=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1).map("a/".__add__), content=st.binary())
def test_any_name_and_content_survives_a_round_trip(path: str, content: bytes) -> None:
    with archive(path, content) as found:
        [member] = found.getmembers()
        assert member.name == "src/" + path
        assert found.extractfile(member).read() == content  # type: ignore[union-attr]


def test_a_long_path_survives_a_round_trip() -> None:
    path = "/".join(["directory-with-a-long-name"] * 30)
    with archive(path, b"x") as found:
        assert found.getnames() == ["src/" + path]


def test_a_listing_is_parsed() -> None:
    listing = b"\0".join(
        [
            f"100644 blob {OID}     123\tmodels/a b\tc.sql".encode(),
            f"100755 blob {OID}       0\trun.sh".encode(),
            f"120000 blob {OID}       4\tlink".encode(),
            f"160000 commit {OID}       -\tsubmodule".encode(),
            f"100644 blob {OID}       1\t".encode() + b"caf\xe9.sql",
            f"100644 blob {OID}       1\tcafé.sql".encode(),
            b"",
        ]
    )
    assert parse_listing(listing) == [
        Entry("models/a b\tc.sql", "100644", OID, 123),
        Entry("run.sh", "100755", OID, 0),
        Entry("link", "120000", OID, 4),
        Entry("submodule", "160000", OID, 0),
        Entry("caf\udce9.sql", "100644", OID, 1),
        Entry("café.sql", "100644", OID, 1),
    ]
    assert parse_listing(b"") == []


UNABLE = "fatal: unable to access 'https://github.com/octo/tls-early-EOF/': "


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ("fatal: remote error: upload-pack: not our ref " + OID, CommitGoneError),
        ("error: Server does not allow request for unadvertised object " + OID, CommitGoneError),
        ("fatal: couldn't find remote ref " + OID, CommitGoneError),
        ("remote: Repository not found.\nfatal: repository 'https://github.com/octo/tls/' not found", GoneError),
        (UNABLE + "The requested URL returned error: 403", GoneError),
        (UNABLE + "The requested URL returned error: 301", GoneError),
        ("fatal: could not read Username for 'https://github.com': terminal prompts disabled", GoneError),
        ("fatal: Authentication failed for 'https://github.com/octo/shop.git/'", GoneError),
        (UNABLE + "The requested URL returned error: 502", GitHubUnavailableError),
        (UNABLE + "The requested URL returned error: 429", GitHubUnavailableError),
        (UNABLE + "Could not resolve host: github.com", GitHubUnavailableError),
        (UNABLE + "Failed to connect to github.com port 443: Connection refused", GitHubUnavailableError),
        (UNABLE + "Operation too slow. Less than 1000 bytes/sec transferred the last 30 seconds", GitHubUnavailableError),
        ("error: RPC failed; curl 56 Recv failure: Connection reset by peer\nfatal: early EOF", GitHubUnavailableError),
        ("fatal: the remote end hung up unexpectedly", GitHubUnavailableError),
        ("fatal: an unknown message", GitHubUnavailableError),
        ("fatal: write error: No space left on device\nfatal: index-pack failed", DiskFullError),
    ],
)
def test_the_output_of_git_tells_the_error(output: str, error: type[FreshetError]) -> None:
    failure = GitError("fetch", 128, output)
    assert type(error_for(failure_kind(failure), "fetching octo/shop at 1a2b3c4", failure)) is error


def test_timeouts_and_broken_mirrors_are_recognized() -> None:
    assert failure_kind(GitTimeoutError("fetch", -9, "stopped after 1 s")) == "unreachable"
    assert failure_kind(GitError("fetch", 128, "fatal: bad object " + OID)) == "broken"
    assert failure_kind(GitError("fetch", 128, "fatal: Unable to create '/x/shallow.lock': File exists.")) == "broken"


def test_a_token_is_sent_to_its_own_server_only() -> None:
    config, secrets = credentials("https://github.example.com", SecretStr(TOKEN))
    basic = b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    assert config == {"http.https://github.example.com/.extraHeader": f"Authorization: Basic {basic}"}
    assert secrets == (TOKEN, basic)
    assert credentials("https://github.com", None) == ({}, ())


@pytest.mark.parametrize(
    "text",
    [
        f"fatal: unable to access 'https://x-access-token:{TOKEN}@github.com/octo/shop.git/'",
        f"http.extraHeader=Authorization: Basic {b64encode(TOKEN.encode()).decode()}",
        f"authorization: bearer {TOKEN}",
        f"https://{TOKEN}@github.com/",
        f"a bare {TOKEN}.{'y' * 80} in between",
    ],
)
def test_texts_that_look_like_secrets_are_scrubbed(text: str) -> None:
    shown = scrub(text)
    assert "xxx" not in shown
    assert "yyy" not in shown
    assert b64encode(TOKEN.encode()).decode() not in shown
    assert "***" in shown


def test_known_secrets_are_scrubbed() -> None:
    assert scrub("the opaque one is s3cret, is it", ["s3cret", ""]) == "the opaque one is ***, is it"


def test_git_gets_only_path_proxy_and_certificate_variables() -> None:
    host = {
        "PATH": "/usr/bin",
        "HOME": "/root",
        "GITHUB_PRIVATE_KEY": "secret",
        "GIT_CONFIG_PARAMETERS": "'core.sshCommand=evil'",
        "GIT_DIR": "/elsewhere",
        "LD_PRELOAD": "/evil.so",
        "https_proxy": "http://proxy:3128",
        "SSL_CERT_FILE": "/ca.pem",
    }
    environ = clean_environ(host, home="/empty")
    assert environ["PATH"] == "/usr/bin"
    assert environ["HOME"] == "/empty"
    assert environ["https_proxy"] == "http://proxy:3128"
    assert environ["GIT_SSL_CAINFO"] == "/ca.pem"
    assert environ["GIT_ALLOW_PROTOCOL"] == "https:http"
    assert environ["GIT_TERMINAL_PROMPT"] == "0"
    assert not {"GITHUB_PRIVATE_KEY", "GIT_CONFIG_PARAMETERS", "GIT_DIR", "LD_PRELOAD"} & environ.keys()


def test_configuration_is_passed_in_the_environment() -> None:
    assert config_environ({"a.b": "c"}, {}) == {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "a.b", "GIT_CONFIG_VALUE_0": "c"}
    theirs = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "d.e", "GIT_CONFIG_VALUE_0": "f"}
    assert config_environ({"a.b": "c"}, theirs) == {"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_1": "a.b", "GIT_CONFIG_VALUE_1": "c"}
