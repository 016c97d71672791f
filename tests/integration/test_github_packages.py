"""Git packages, with real git over real HTTP: public ones, private ones of the same installation, and no others."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import shutil
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr

from app.core import log
from app.core.egress.addresses import Address
from app.core.egress.resolver import lookup
from app.core.errors import FreshetError, GitHubUnavailableError, GoneError, RejectedAddressError, TreeTooBigError, UnavailableError
from app.core.models.github import Repository
from app.github.app import auth
from app.github.app.auth import AppAuth
from app.github.git import packages
from app.github.git.local import local_packages
from app.github.git.packages import GitPackages
from app.github.git.pinned_host import pinned, proxy_of
from app.github.git.process import Git, GitError
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from app.packages.private import PrivatePackages
from app.pipeline.ports import PackageSources
from tests.double import Answer, Delay, GitHubDouble, Installation, Reset, git
from tests.double import Repository as Hosted

FILES = {"dbt_project.yml": b"name: tools\n", "macros/a.sql": b"{% macro a() %}{% endmacro %}\n"}


@dataclass
class World:
    """A GitHub with the App on `octo`, a repository that requests packages, and the fetcher under test."""

    github: GitHubDouble
    installation: Installation
    requester: Repository
    packages: GitPackages
    auth: AppAuth
    work_dir: Path
    secrets: list[str] = field(default_factory=list)

    async def create(self, full_name: str = "octo/tools", *, private: bool = True) -> tuple[Hosted, str]:
        hosted = await self.github.create_repository(full_name, FILES, private=private)
        return hosted, await self.github.push(hosted, {"README.md": b"newest"})

    def tokens_asked_for(self) -> list[object]:
        return [request.json for request in self.github.requests if request.path.endswith("/access_tokens")]

    def authorizations(self) -> list[bool]:
        """For each request of git: True if it had a token."""
        return ["Authorization" in request.headers for request in self.github.requests if ".git/" in request.path]


@asynccontextmanager
async def make_world(work_dir: Path, **options: object) -> AsyncIterator[World]:
    async with GitHubDouble() as github, ApiClient(github.api_url) as api:
        auth = AppAuth(github.app.id, github.app.private_key_pem, api)
        secrets: list[str] = []

        async def tokens(requester: Repository, full_name: str) -> SecretStr | None:
            token = await auth.package_token(requester, full_name)
            secrets.extend([token.get_secret_value()] if token else [])
            return token

        names = GitHubClient(api, auth).current_name
        given = {"environ": {"PATH": os.environ["PATH"]}, "on_rejected_token": auth.reject_token, "current_name": names, **options}
        packages = GitPackages(github.server_url, work_dir, tokens, **given)  # type: ignore[arg-type]
        installation = await github.install("octo")
        shop = await github.create_repository("octo/shop", {"dbt_project.yml": b"name: shop\n"})
        requester = Repository(shop.id, "octo/shop", installation.id)
        yield World(github, installation, requester, packages, auth, work_dir, secrets)
        assert github.state.violations == []
        packages.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with make_world(tmp_path) as made:
        yield made


async def read(packages: PackageSources, url: str, revision: str | None, requester: Repository) -> tuple[str, dict[str, bytes]]:
    async with packages.open_package(url, revision, requester) as tree:
        contents = await tree.read([entry.oid for entry in tree.entries])
        return tree.sha, {entry.path: contents[entry.oid] for entry in tree.entries}


async def failing(world: World, url: str, revision: str | None = None) -> FreshetError:
    with pytest.raises(FreshetError) as error:
        await read(world.packages, url, revision, world.requester)
    return error.value


async def tag(hosted: Hosted, name: str, sha: str, *, annotated: bool = False) -> None:
    who = ("-c", "user.name=Mona", "-c", "user.email=mona@example.com")
    await git.run(hosted.directory, *who, "tag", *(("-a", "-m", "A release") if annotated else ()), name, sha)


# -- which commit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [True, False])
async def test_a_public_package_at_any_revision(world: World, *, plain: bool) -> None:
    world.github.state.plain_git = plain
    hosted, newest = await world.create("dbt-labs/tools", private=False)
    old = await world.github.push(hosted, {"README.md": b"released"}, branch="old")
    await tag(hosted, "1.0.0", old, annotated=True)
    await world.github.push(hosted, {"README.md": b"later"}, branch="old")
    branch = await world.github.push(hosted, {"README.md": b"branched"}, branch="feature/x")
    await tag(hosted, "light", newest)
    await world.github.push(hosted, {"README.md": b"not the tag"}, branch="1.0.0")
    url = f"{world.github.server_url}/dbt-labs/tools.git"
    for revision, sha, text in [
        (None, newest, b"newest"),
        ("main", newest, b"newest"),
        ("light", newest, b"newest"),
        ("1.0.0", old, b"released"),
        ("refs/heads/feature/x", branch, b"branched"),
        ("feature/x", branch, b"branched"),
        (branch, branch, b"branched"),
        (branch[:9], branch, b"branched"),
    ]:
        found = await read(world.packages, url, revision, world.requester)
        assert found == (sha, {**FILES, "README.md": text}), revision
    assert not any(world.authorizations())
    assert world.tokens_asked_for() == []


async def test_a_commit_without_a_reference_is_fetched_by_its_id(world: World) -> None:
    hosted, newest = await world.create("dbt-labs/tools", private=False)
    await world.github.push(hosted, {"README.md": b"even newer"})
    assert (await read(world.packages, "dbt-labs/tools", newest, world.requester))[0] == newest
    world.github.state.plain_git = True
    shutil.rmtree(world.work_dir / "git-packages" / str(world.installation.id))
    error = await failing(world, "dbt-labs/tools", newest)
    assert type(error) is GoneError
    assert "a branch, a tag or a complete sha" in error.next_step


@pytest.mark.parametrize(
    ("revision", "words"),
    [
        ("no-such", "there is no branch, tag or commit no-such"),
        ("1" * 40, "does not provide the commit 1111"),
        ("abcdef1", "nor the newest commit of one"),
        ("--upload-pack=touch /tmp/x", "cannot be a branch"),
        ("a..b", "cannot be a branch"),
        ("*", "cannot be a branch"),
        ("", "cannot be a branch"),
        ("refs/heads/main:refs/heads/x", "cannot be a branch"),
    ],
)
async def test_a_missing_revision(world: World, revision: str, words: str) -> None:
    await world.create("dbt-labs/tools", private=False)
    error = await failing(world, "dbt-labs/tools", revision)
    assert type(error) is GoneError
    assert words in error.user_text


async def test_an_empty_repository(world: World) -> None:
    await world.github.create_repository("dbt-labs/tools", {}, private=False)
    assert "no commit yet" in (await failing(world, "dbt-labs/tools")).reason


async def test_a_cached_commit_is_not_fetched_again_but_access_is_checked(world: World) -> None:
    hosted, newest = await world.create("octo/tools")
    counts = []
    for _ in range(2):
        before = len(world.authorizations())
        await read(world.packages, "octo/tools", newest, world.requester)
        counts.append(len(world.authorizations()) - before)
    assert 0 < counts[1] < counts[0]
    await world.github.remove_repositories(world.installation, [hosted])
    world.auth.forget(world.installation.id)
    assert "not part of this installation" in (await failing(world, "octo/tools", newest)).reason


# -- private repositories -----------------------------------------------


@pytest.mark.parametrize("form", ["{server}/octo/tools.git", "octo/tools", "OCTO/Tools", "git@127.0.0.1:octo/tools.git"])
async def test_a_private_package_of_the_same_installation_is_read_with_its_own_token(world: World, form: str) -> None:
    hosted, newest = await world.create()
    url = form.format(server=world.github.server_url)
    assert (await read(world.packages, url, None, world.requester))[0] == newest
    assert world.tokens_asked_for() == [{"repositories": ["tools"], "permissions": {"contents": "read"}}]
    [token] = [world.github.state.tokens[value] for value in set(world.secrets)]
    assert token.repository_ids == frozenset({hosted.id})
    assert token.permissions == {"contents": "read", "metadata": "read"}


async def test_credentials_in_an_address_are_not_used(world: World) -> None:
    hosted, _ = await world.create("other/tools")
    stolen = world.github.classic_token("mona", {hosted: "pull"})
    server = world.github.server_url.replace("http://", f"http://x-access-token:{stolen}@")
    error = await failing(world, f"{server}/other/tools.git")
    assert type(error) is GoneError
    assert not any(world.authorizations())
    assert stolen not in error.user_text


async def test_a_private_package_of_another_installation_is_rejected(world: World) -> None:
    await world.github.install("other")
    await world.create("other/tools")
    await world.create("octo/tools")
    error = await failing(world, "other/tools")
    assert type(error) is GoneError
    assert error.user_text.startswith(
        "While fetching the package other/tools: other/tools is not public and not part of this installation."
    )
    assert ".github/freshet.yml" in error.next_step
    # The token for our repository with the same name was not used.
    assert world.tokens_asked_for() == []
    assert not any(world.authorizations())


async def test_a_private_package_outside_of_the_installation_is_rejected_with_a_next_step(tmp_path: Path) -> None:
    async with make_world(tmp_path) as world:
        await world.create("octo/tools")
        await world.github.remove_repositories(world.installation, [world.github.state.repository("octo/tools")])  # type: ignore[list-item]
        error = await failing(world, "octo/tools")
        assert "Give the GitHub App access to octo/tools" in error.next_step
        await world.create("octo/open", private=False)
        await world.github.remove_repositories(world.installation, [world.github.state.repository("octo/open")])  # type: ignore[list-item]
        assert (await read(world.packages, "octo/open", None, world.requester))[1]["README.md"] == b"newest"


@pytest.mark.parametrize(
    ("rules", "public", "allowed"),
    [
        (("installation",), False, True),
        (("installation",), True, False),
        (("none",), False, False),
        (("octo/other", "acme/*"), False, False),
        (("octo/to*",), False, True),
        (("installation", "OCTO/Tools"), True, True),
    ],
)
async def test_the_operator_decides_who_may_use_private_packages(
    tmp_path: Path, rules: tuple[str, ...], *, public: bool, allowed: bool
) -> None:
    async with make_world(tmp_path, private=PrivatePackages(rules)) as world:
        await world.create()
        await world.create("octo/open", private=False)
        world.requester = replace(world.requester, private=not public)
        assert (await read(world.packages, "octo/open", None, world.requester))[1]["README.md"] == b"newest"
        if allowed:
            assert (await read(world.packages, "octo/tools", None, world.requester))[1]["README.md"] == b"newest"
            return
        world.github.requests.clear()
        missing, refused = await failing(world, "octo/nothing"), await failing(world, "octo/tools")
        assert refused.user_text.replace("octo/tools", "octo/nothing") == missing.user_text, "nobody learns which repositories there are"
        assert "FRESHET_PRIVATE_PACKAGES" in refused.next_step
        assert ("public repositories receive no private packages" in refused.reason) == public
        assert world.tokens_asked_for() == []


async def test_what_was_allowed_before_is_not_read_from_the_cache(tmp_path: Path) -> None:
    async with make_world(tmp_path) as world:
        _, sha = await world.create()
        await read(world.packages, "octo/tools", sha, world.requester)
        with pytest.raises(GoneError):
            await read(world.packages, "octo/tools", sha, replace(world.requester, private=False))


async def test_installations_share_nothing_on_disk(world: World) -> None:
    await world.create("dbt-labs/tools", private=False)
    other = Repository(7, "other/shop", 4711)
    for requester in (world.requester, other):
        await read(world.packages, "dbt-labs/tools", None, requester)
    place = world.work_dir / "git-packages"
    assert len(list(place.glob("*/*.git"))) == 2
    await world.packages.remove_installation(4711)
    assert [path.parent.name for path in place.glob("*/*.git")] == [str(world.installation.id)]
    await world.packages.tidy()
    assert len(list(place.glob("*/*.git"))) == 1
    await world.packages.tidy(max_bytes=1)
    assert list(place.glob("*/*.git")) == []
    await read(world.packages, "dbt-labs/tools", None, world.requester)


async def test_a_new_token_that_github_does_not_know_yet_is_used_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "NEW_TOKEN_PAUSES_S", (0.0, 0.0))
    await world.create()
    world.github.faults.add("*", r"tools\.git/", 2, Answer(401))
    await read(world.packages, "octo/tools", None, world.requester)
    assert len(set(world.secrets)) == 1


async def test_a_rejected_token_is_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "NEW_TOKEN_S", 0.0)
    await world.create()
    await world.auth.package_token(world.requester, "octo/tools")
    world.github.revoke_all_tokens()
    await read(world.packages, "octo/tools", None, world.requester)
    assert len(set(world.secrets)) == 2


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    handlers, level = logging.root.handlers[:], logging.root.level
    stream = io.StringIO()
    logging.root.handlers[:] = []
    log.configure(stream, level=logging.DEBUG)
    yield stream
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


async def test_the_token_is_in_no_argument_file_log_or_error(tmp_path: Path, printed: io.StringIO) -> None:
    """Each git process, including those started by git itself, records its command line."""
    told, real = tmp_path / "told", shutil.which("git")
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin" / "git"
    wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {told}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    environ = {"PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    async with make_world(tmp_path / "work", environ=environ) as world:
        await world.create()
        await read(world.packages, "octo/tools", None, world.requester)
        world.github.faults.add("*", "/git-upload-pack$", 99, Answer(502))
        error = await failing(world, "octo/tools", "main")
        assert any(world.authorizations())
        files = b"".join(path.read_bytes() for path in world.work_dir.rglob("*") if path.is_file())
        everything = f"{told.read_text()} {printed.getvalue()} {error} {error.user_text} {error.__cause__}".encode() + files
        assert b"ls-remote" in everything
        for secret in world.secrets:
            assert secret.encode() not in everything
            assert b64encode(f"x-access-token:{secret}".encode()) not in everything


# -- other hosts, rejected addresses -----------------------------------------------


@asynccontextmanager
async def elsewhere(world: World) -> AsyncIterator[tuple[GitHubDouble, GitPackages]]:
    """Another host that the operator configured."""
    async with GitHubDouble() as other:
        place = other.server_url.removeprefix("http://")
        packages = GitPackages(world.github.server_url, world.work_dir / "2", world.auth.package_token, hosts={place}, environ=os.environ)
        yield other, packages
        packages.close()


async def test_other_hosts_receive_no_token(world: World) -> None:
    await world.create("octo/tools")
    async with elsewhere(world) as (other, packages):
        await other.create_repository("octo/tools", FILES, private=False)
        await other.create_repository("octo/hidden", FILES)
        assert (await read(packages, f"{other.server_url}/octo/tools.git", None, world.requester))[1] == FILES
        with pytest.raises(GoneError, match="cannot be read without signing in"):
            await read(packages, f"{other.server_url}/octo/hidden", None, world.requester)
        assert not any("Authorization" in request.headers for request in other.requests)
    assert world.tokens_asked_for() == []


@asynccontextmanager
async def listener() -> AsyncIterator[tuple[int, list[bytes]]]:
    seen: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(1000))
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], seen


@pytest.mark.parametrize("location", ["http://169.254.169.254/latest/meta-data", "http://127.0.0.1:{port}/octo/tools.git/info/refs"])
async def test_a_redirect_is_not_followed(world: World, location: str) -> None:
    async with elsewhere(world) as (other, packages), listener() as (port, seen):
        fault = Answer(301, "", {"Location": location.format(port=port)})
        other.faults.add("*", r"/info/refs", 99, fault)
        world.github.faults.add("*", r"/info/refs", 99, fault)
        for url in (f"{other.server_url}/octo/tools.git", f"{other.server_url}/octo/tools"):
            with pytest.raises(GoneError, match="has moved"):
                await read(packages, url, None, world.requester)
        assert type(await failing(world, "dbt-labs/tools")) is GoneError
    assert seen == []


async def test_a_redirect_to_the_git_suffix_is_followed(world: World) -> None:
    async with elsewhere(world) as (other, packages):
        await other.create_repository("octo/tools", FILES, private=False)
        other.faults.add("GET", r"/octo/tools/info/refs", 1, Answer(301, "", {"Location": f"{other.server_url}/octo/tools.git/info/refs"}))
        assert (await read(packages, f"{other.server_url}/octo/tools", None, world.requester))[1] == FILES


async def test_a_renamed_public_package_is_fetched_under_its_new_name(world: World) -> None:
    hosted, newest = await world.create("dbt-labs/tools", private=False)
    await world.github.rename_repository(hosted, "utils")
    assert (await read(world.packages, "dbt-labs/tools", None, world.requester))[0] == newest


@pytest.mark.parametrize("found", [("10.1.2.3",), ("127.0.0.1",), ("93.184.215.14", "169.254.169.254"), ("::1",)])
async def test_a_name_that_resolves_to_a_private_address_is_rejected(tmp_path: Path, found: tuple[str, ...]) -> None:
    async def ask(_host: str, _port: int) -> Sequence[str]:
        return found

    async with make_world(tmp_path, ask=ask) as world, listener() as (_, seen):
        for url in ("https://rebind.example/octo/tools.git", "git@rebind.example:octo/tools", "git://rebind.example/octo/tools"):
            error = await failing(world, url)
            assert type(error) is RejectedAddressError
            assert "rebind.example is in a private network" in error.reason
        assert seen == []


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:1/octo/tools", "file:///etc", "ext::sh -c id", "https://169.254.169.254/a/b", "../tools"]
)
async def test_unsafe_addresses_are_rejected(world: World, url: str) -> None:
    assert type(await failing(world, url)) is RejectedAddressError


async def test_git_connects_to_the_address_that_was_checked(world: World, tmp_path: Path) -> None:
    """The host name does not exist, so git can know its address only from us."""
    await world.create("dbt-labs/tools", private=False)
    port = int(world.github.server_url.rpartition(":")[2])
    alone = Git({"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "no_proxy": "*"})
    url = f"http://packages.example:{port}/dbt-labs/tools.git"
    with pytest.raises(GitError):
        await alone.run("ls-remote", url)
    listed = await alone.run("ls-remote", url, config={"http.curloptResolve": f"packages.example:{port}:127.0.0.1,[::1]"})
    assert b"refs/heads/main" in listed

    async def ask(_host: str, _port: int) -> Sequence[str]:
        return ["93.184.215.14", "2606:50c0:8000::153"]

    _, config = await pinned(Address("https", "packages.example", 443), {"PATH": os.environ["PATH"]}, tmp_path, "", ask)
    assert config == {"http.curloptResolve": "packages.example:443:93.184.215.14,[2606:50c0:8000::153]"}


async def test_behind_a_proxy_the_proxy_resolves_names(tmp_path: Path) -> None:
    address = Address("https", "packages.example", 443)
    environ = {"PATH": os.environ["PATH"], "HTTPS_PROXY": "http://proxy.corp:3128", "no_proxy": "corp, .internal.example"}
    assert proxy_of(address, environ) == "http://proxy.corp:3128"
    assert proxy_of(Address("https", "git.corp", 443), environ) is None
    assert proxy_of(Address("https", "x.internal.example", 443), environ) is None
    assert proxy_of(address, {**environ, "no_proxy": "*"}) is None
    _, config = await pinned(address, environ, tmp_path, "", lookup)
    assert config == {}


async def test_an_unreachable_host_may_be_tried_again(world: World) -> None:
    await world.create("dbt-labs/tools", private=False)
    for fault in (Answer(502), Reset()):
        world.github.faults.add("*", r"\.git/", 99, fault)
        assert type(await failing(world, "dbt-labs/tools")) is GitHubUnavailableError
        world.github.faults.clear()
    async with elsewhere(world) as (other, packages):
        other.faults.add("*", r"\.git/", 99, Answer(503))
        with pytest.raises(UnavailableError):
            await read(packages, f"{other.server_url}/octo/tools.git", None, world.requester)
        other.faults.clear()
        other.faults.add("*", r"\.git/", 99, Answer(200, "<html>not git</html>"))
        with pytest.raises(GoneError):
            await read(packages, f"{other.server_url}/octo/tools.git", None, world.requester)


async def test_a_repository_that_is_too_big_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.github.git.mirror.WATCH_S", 0.01)
    async with make_world(tmp_path, max_bytes=1 << 20) as world:
        hosted = await world.github.create_repository("dbt-labs/big", {"a.bin": os.urandom(12 << 20)}, private=False)
        error = await failing(world, "dbt-labs/big")
        assert type(error) is TreeTooBigError
        assert "larger than 1 MiB" in error.reason
        assert list((tmp_path / "git-packages" / str(world.installation.id)).rglob("*.pack")) == []
        assert hosted.full_name == "dbt-labs/big"


async def test_a_fetch_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    async with make_world(tmp_path, fetch_timeout_s=0.3) as world:
        await world.create("dbt-labs/tools", private=False)
        # The first request is for the references.
        world.github.faults.add("POST", "/git-upload-pack$", 1, Delay(0))
        world.github.faults.add("POST", "/git-upload-pack$", 9, Delay(2))
        error = await failing(world, "dbt-labs/tools")
        assert type(error) is GitHubUnavailableError
        assert "0.3 s" in error.reason


# -- the command line ------------------------------------------------------------------------------------------------


async def test_the_command_line_uses_the_users_own_git(tmp_path: Path) -> None:
    requester = Repository(0, "shop", 0)
    config = tmp_path / "gitconfig"
    (tmp_path / "work").mkdir()
    async with GitHubDouble() as github:
        hosted = await github.create_repository("octo/tools", FILES)
        sha = await github.push(hosted, {"README.md": b"newest"})
        await tag(hosted, "1.0.0", sha, annotated=True)
        token = github.classic_token("mona", {hosted: "pull"})
        there = github.server_url.replace("http://", f"http://mona:{token}@")
        config.write_text("".join(f'[url "{there}/"]\n\tinsteadOf = {name}\n' for name in ("https://github.com/", "git@github.com:")))
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_GLOBAL": str(config), "GIT_CONFIG_NOSYSTEM": "1"}
        packages: PackageSources = local_packages(environ, tmp_path / "work", "https://github.com")
        forms = ("octo/tools", "https://{{ env_var('X') }}@github.com/octo/tools", "git@github.com:octo/tools.git")
        for url in forms:
            for revision in (None, "1.0.0", sha):
                assert (await read(packages, url, revision, requester)) == (sha, {**FILES, "README.md": b"newest"})
        with pytest.raises(GoneError):
            await read(packages, "octo/no-such", None, requester)
        with pytest.raises(RejectedAddressError):
            await read(packages, "https://169.254.169.254/octo/tools", None, requester)
        with pytest.raises(RejectedAddressError):
            await read(packages, f"file://{hosted.directory}", None, requester)
    assert list((tmp_path / "work").iterdir()) == []


def test_the_port_is_implemented(world: World) -> None:
    """For the type checker."""
    packages: PackageSources = world.packages
    assert packages is world.packages
