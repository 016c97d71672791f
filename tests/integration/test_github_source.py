"""Fetching exactly one commit with real git, over real HTTP, from a GitHub that checks tokens."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import shutil
import stat
import tarfile
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from app.core import log
from app.core.errors import CommitGoneError, ConfigurationError, FreshetError, GitHubUnavailableError, GoneError, UnavailableError
from app.core.models.github import Repository
from app.github.app import auth
from app.github.app.auth import AppAuth
from app.github.git import source
from app.github.git.mirror import KEEP, MAX_AGE_S, WHOLE_BYTES
from app.github.git.process import Git
from app.github.git.source import GitSources
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from app.pipeline.ports import GitHub, Sources
from app.project.checkout import SUBMODULE_MODE
from app.project.read_files import Member
from tests.double import Answer, Delay, Executable, GitHubDouble, Installation, Reset, Submodule, Symlink
from tests.double import Repository as Hosted

FILES: dict[str, Any] = {"dbt_project.yml": b"name: shop\n", "models/orders.sql": b"select 1\n"}


@dataclass
class World:
    """A GitHub with the App installed, and the sources under test."""

    github: GitHubDouble
    auth: AppAuth
    client: GitHubClient
    installation: Installation
    work_dir: Path
    sources: GitSources
    secrets: list[str] = field(default_factory=list)
    """All tokens that git received."""

    async def create(self, files: dict[str, Any] | None = None, **options: Any) -> tuple[Hosted, Repository, str]:
        hosted = await self.github.create_repository("octo/shop", FILES if files is None else files, **options)
        sha = await self.github.push(hosted, {"README.md": b"the newest"})
        return hosted, Repository(hosted.id, hosted.full_name, self.installation.id), sha

    def mirror(self, repository: Repository) -> Path:
        return self.work_dir / "git" / f"{repository.id}.git"

    def fetches(self) -> int:
        return sum(request.path.endswith("/git-upload-pack") for request in self.github.requests)


@asynccontextmanager
async def make_world(
    work_dir: Path, *, fetch_timeout_s: float = 20.0, whole_bytes: int = WHOLE_BYTES, **options: Any
) -> AsyncIterator[World]:
    async with GitHubDouble(**options) as github, ApiClient(github.api_url) as api:
        auth = AppAuth(github.app.id, github.app.private_key_pem, api)
        client = GitHubClient(api, auth)
        secrets: list[str] = []

        async def tokens(repository: Repository) -> SecretStr:
            token = await auth.fetch_token(repository)
            secrets.append(token.get_secret_value())
            return token

        hooks = {"on_rejected_token": auth.reject_token, "current_name": client.full_name}
        limits = {"fetch_timeout_s": fetch_timeout_s, "whole_bytes": whole_bytes}
        environ = {"PATH": os.environ["PATH"]}
        sources = GitSources(github.server_url, work_dir, tokens, **hooks, environ=environ, **limits)  # type: ignore[arg-type]
        yield World(github, auth, client, await github.install("octo"), work_dir, sources, secrets)
        sources.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with make_world(tmp_path) as made:
        yield made


async def read(sources: GitSources, repository: Repository, sha: str) -> dict[str, bytes]:
    async with sources.open(repository, sha) as tree:
        assert tree.sha == sha
        blobs = [entry for entry in tree.entries if entry.mode != SUBMODULE_MODE]
        contents = await tree.read([entry.oid for entry in blobs])
        return {entry.path: contents[entry.oid] for entry in blobs}


async def unpack(stream: AsyncIterator[bytes]) -> dict[str, bytes]:
    data = b"".join([chunk async for chunk in stream]) + bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive.getmembers()}  # type: ignore[union-attr]


async def failing(world: World, repository: Repository, sha: str) -> FreshetError:
    with pytest.raises(FreshetError) as error:
        await read(world.sources, repository, sha)
    return error.value


@pytest.mark.parametrize("token_form", ["short", "long"])
@pytest.mark.parametrize("private", [True, False])
async def test_exactly_the_pushed_commit_is_fetched(tmp_path: Path, token_form: str, *, private: bool) -> None:
    async with make_world(tmp_path, token_form=token_form) as world:
        _, repository, sha = await world.create(private=private)
        assert await read(world.sources, repository, sha) == {**FILES, "README.md": b"the newest"}
        # One commit without its history.
        assert (world.mirror(repository) / "shallow").read_text().split() == [sha]


async def test_a_commit_says_who_wrote_it(world: World) -> None:
    _, repository, sha = await world.create()
    async with world.sources.open(repository, sha) as tree:
        facts = await tree.commit_facts()
    assert facts is not None
    assert facts.author
    assert facts.subject
    assert facts.authored_at is not None
    assert facts.authored_at.tzinfo is UTC


async def test_a_force_pushed_commit_can_still_be_fetched(world: World) -> None:
    hosted, repository, sha = await world.create()
    await world.github.push(hosted, {"README.md": b"amended"}, force=True)
    assert (await read(world.sources, repository, sha))["README.md"] == b"the newest"


async def forked(world: World) -> tuple[Hosted, Repository, Hosted, str]:
    """A repository, and the head of a pull request from its fork."""
    hosted, repository, _ = await world.create()
    fork = await world.github.fork_repository(hosted, "mona")
    sha = await world.github.push(fork, {"README.md": b"of a stranger"}, branch="patch-1")
    await world.github.open_pull_request(hosted, "patch-1", fork=fork)
    return hosted, repository, fork, sha


async def test_the_head_of_a_fork_is_fetched_from_the_repository_of_its_base(world: World) -> None:
    _, repository, _, sha = await forked(world)
    assert (await read(world.sources, repository, sha))["README.md"] == b"of a stranger"
    assert not [request for request in world.github.requests if request.path.startswith("/mona/")]


NOT_OUR_REF = "0048ERR upload-pack: not our ref 0000000000000000000000000000000000000000"
AS_GIT = {"Content-Type": "application/x-git-upload-pack-result"}


async def test_a_commit_that_is_not_sent_by_its_id_is_fetched_by_its_reference(world: World) -> None:
    _, repository, _, sha = await forked(world)
    world.github.faults.add("POST", "git-upload-pack$", 1, Answer(200, NOT_OUR_REF, AS_GIT))
    async with world.sources.open(repository, sha, "refs/pull/1/head") as tree:
        assert tree.sha == sha
    assert (await read(world.sources, repository, sha))["README.md"] == b"of a stranger"


async def test_a_reference_that_leads_elsewhere_now_is_no_other_commit(world: World) -> None:
    _, repository, fork, sha = await forked(world)
    newer = await world.github.push(fork, {"README.md": b"newer"}, branch="patch-1")
    world.github.faults.add("POST", "git-upload-pack$", 1, Answer(200, NOT_OUR_REF, AS_GIT))
    with pytest.raises(CommitGoneError, match="another commit"):
        async with world.sources.open(repository, sha, "refs/pull/1/head"):
            pass
    assert (await read(world.sources, repository, newer))["README.md"] == b"newer"
    assert (await read(world.sources, repository, sha))["README.md"] == b"of a stranger", "and it can be fetched once GitHub sends it"


async def test_received_bytes_are_counted(world: World) -> None:
    hosted, repository, sha = await world.create({"noise.bin": os.urandom(100_000)})
    found = []
    for commit in (sha, sha, await world.github.push(hosted, {"more.bin": os.urandom(30_000)})):
        async with world.sources.open(repository, commit) as tree:
            found.append(tree.fetched_bytes)
    assert 100_000 < found[0] < 102_000
    assert found[1] == 0, "it is there"
    assert 30_000 < found[2] < 32_000, "and of a push only what is new"


async def test_a_cached_commit_needs_no_network(world: World) -> None:
    hosted, repository, sha = await world.create()
    await read(world.sources, repository, sha)
    before = len(world.github.requests)
    await world.github.delete_repository(hosted)
    await read(world.sources, repository, sha)
    assert len(world.github.requests) == before


def test_the_ports_are_implemented(world: World) -> None:
    """For the type checker."""
    sources: Sources = world.sources
    github: GitHub = world.client
    assert (sources, github) == (world.sources, world.client)


async def test_many_commits_at_once(world: World) -> None:
    hosted, repository, _ = await world.create()
    shas = [await world.github.push(hosted, {"README.md": str(n).encode()}) for n in range(8)]
    found = await asyncio.gather(*(read(world.sources, repository, sha) for sha in shas))
    assert [files["README.md"] for files in found] == [str(n).encode() for n in range(8)]


async def test_the_newest_commits_and_those_being_read_are_kept(world: World) -> None:
    hosted, repository, first = await world.create()
    async with world.sources.open(repository, first) as tree:
        for n in range(KEEP + 3):
            await read(world.sources, repository, await world.github.push(hosted, {"README.md": str(n).encode()}))
        kept = {path.name for path in (world.mirror(repository) / "refs/freshet").iterdir()}
        assert first in kept
        assert len(kept) == KEEP + 2
        await world.sources.tidy()
        assert b"the newest" in (await tree.read([entry.oid for entry in tree.entries])).values()


async def test_only_files_are_listed(world: World) -> None:
    content = {"a.sql": b"1", "run.sh": Executable(b"#!/bin/sh\n"), "link": Symlink("a.sql"), "sub": Submodule("1" * 40), "é/ü.sql": b"2"}
    _, repository, sha = await world.create(content)
    async with world.sources.open(repository, sha) as tree:
        modes = {entry.path: entry.mode for entry in tree.entries}
    assert modes == {"README.md": "100644", "a.sql": "100644", "link": "120000", "run.sh": "100755", "sub": "160000", "é/ü.sql": "100644"}


async def test_members_are_streamed_as_tar_entries(world: World) -> None:
    big = os.urandom(3_000_000)
    seed = b"id,name\n" + b"1,one\n" * 50_000
    _, repository, sha = await world.create({"big.sql": big, "seed.csv": seed, "empty.sql": b"", "é.sql": b"select 1", "twice.sql": b""})
    async with world.sources.open(repository, sha) as tree:
        entries = {entry.path: entry for entry in tree.entries}
        members = [Member(path, entry.oid, min(entry.size, 1000) if path == "seed.csv" else entry.size) for path, entry in entries.items()]
        chunks = [chunk async for chunk in tree.members(members)]
        assert max(map(len, chunks)) <= 512 * 1024
        found = await unpack(tree.members(members))
        again = await unpack(tree.members(members))
    assert found == again
    assert found["src/big.sql"] == big
    assert found["src/seed.csv"] == seed[:1000]
    assert (found["src/empty.sql"], found["src/twice.sql"], found["src/é.sql"]) == (b"", b"", b"select 1")
    assert await drained(tree.members([])) == b""


async def drained(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def test_an_unfinished_stream_leaves_no_process(world: World) -> None:
    _, repository, sha = await world.create({f"{n}.sql": os.urandom(500_000) for n in range(8)})
    async with world.sources.open(repository, sha) as tree:
        stream = tree.members([Member(entry.path, entry.oid, entry.size) for entry in tree.entries])
        await anext(aiter(stream))
        assert git_children() != []
    assert git_children() == []


async def test_a_removed_repository_is_gone(world: World) -> None:
    hosted, repository, sha = await world.create()
    await world.auth.fetch_token(repository)
    await world.github.delete_repository(hosted)
    assert type(await failing(world, repository, sha)) is GoneError


async def test_an_uninstalled_app_has_no_access(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "NEW_TOKEN_S", 0.0)
    _, repository, sha = await world.create()
    await world.auth.fetch_token(repository)
    await world.github.uninstall(world.installation)
    assert type(await failing(world, repository, sha)) is GoneError


@pytest.mark.parametrize("sha", ["1" * 40, "0" * 40, "main", "--upload-pack=touch /tmp/x", ""])
async def test_a_missing_commit(world: World, sha: str) -> None:
    _, repository, _ = await world.create()
    error = await failing(world, repository, sha)
    assert type(error) is CommitGoneError
    assert error.doing == f"fetching octo/shop at {sha[:7]}"


@pytest.mark.parametrize("name", ["octo", "../../etc", "octo/..", "-octo/shop", "octo/shop x", "octo/a/b"])
async def test_an_invalid_name(world: World, name: str) -> None:
    assert type(await failing(world, Repository(1, name, world.installation.id), "1" * 40)) is GoneError


async def test_a_renamed_repository_is_fetched_under_its_new_name(world: World) -> None:
    hosted, repository, sha = await world.create()
    await world.github.rename_repository(hosted, "store")
    assert (await read(world.sources, repository, sha))["README.md"] == b"the newest"


async def test_a_rejected_token_is_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "NEW_TOKEN_S", 0.0)
    _, repository, sha = await world.create()
    await world.auth.fetch_token(repository)
    world.github.revoke_all_tokens()
    await read(world.sources, repository, sha)
    assert len(set(world.secrets)) == 2


async def test_a_new_token_that_github_does_not_know_yet_is_used_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "NEW_TOKEN_PAUSES_S", (0.0, 0.0, 0.0))
    _, repository, sha = await world.create()
    world.github.faults.add("*", r"\.git/", 3, Answer(401))
    await read(world.sources, repository, sha)
    other = await world.github.push(world.github.state.repositories[repository.id], {"b.sql": "select 1"})
    world.github.faults.add("*", r"\.git/", 99, Answer(401))
    error = await failing(world, repository, other)
    assert isinstance(error, GitHubUnavailableError), "and never that the repository is gone"
    assert error.retry_after_s
    assert len(set(world.secrets)) == 1


@pytest.mark.parametrize("fault", [Answer(502, "<html>Unicorn!</html>"), Answer(429), Answer(200, "<html></html>"), Reset()])
async def test_github_is_unreachable(world: World, fault: Answer | Reset) -> None:
    _, repository, sha = await world.create()
    world.github.faults.add("*", r"\.git/", 99, fault)
    assert type(await failing(world, repository, sha)) is GitHubUnavailableError
    world.github.faults.clear()
    await read(world.sources, repository, sha)


async def test_a_broken_connection(world: World) -> None:
    _, repository, sha = await world.create()
    world.github.faults.add("POST", "/git-upload-pack$", 99, Reset())
    assert type(await failing(world, repository, sha)) is GitHubUnavailableError


async def test_a_fetch_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    async with make_world(tmp_path, fetch_timeout_s=0.3) as world:
        _, repository, sha = await world.create()
        world.github.faults.add("POST", "/git-upload-pack$", 1, Delay(2))
        error = await failing(world, repository, sha)
        assert type(error) is GitHubUnavailableError
        assert "0.3 s" in error.reason
        assert git_children() == []


async def test_a_redirect_to_another_host_receives_no_token(world: World) -> None:
    _, repository, sha = await world.create()
    seen: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(1000))
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        there = {"Location": f"http://127.0.0.1:{port}/octo/shop.git/info/refs?service=git-upload-pack"}
        world.github.faults.add("*", r"\.git/", 99, Answer(301, "", there))
        assert type(await failing(world, repository, sha)) is GoneError
    assert seen == []


Damage = Callable[[Path], object]


def spoil_packs(mirror: Path) -> None:
    for pack in mirror.glob("objects/pack/*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"x" * pack.stat().st_size)


def cut_packs(mirror: Path) -> None:
    for pack in mirror.glob("objects/pack/*.pack"):
        pack.chmod(0o600)
        os.truncate(pack, pack.stat().st_size // 2)


@pytest.mark.parametrize(
    "damage",
    [
        lambda mirror: (mirror / "HEAD").unlink(),
        lambda mirror: (mirror / "HEAD").write_text("nonsense"),
        lambda mirror: (mirror / "config").write_text("[core\n"),
        lambda mirror: shutil.rmtree(mirror / "objects"),
        spoil_packs,
        cut_packs,
        lambda mirror: (mirror / "shallow.lock").touch(),
    ],
    ids=["no-head", "bad-head", "bad-config", "no-objects", "bad-packs", "cut-packs", "stale-lock"],
)
@pytest.mark.parametrize("other", [True, False])
async def test_a_broken_mirror_is_replaced(world: World, damage: Damage, *, other: bool) -> None:
    hosted, repository, sha = await world.create()
    await read(world.sources, repository, sha)
    damage(world.mirror(repository))
    wanted = await world.github.push(hosted, {"README.md": b"the next"}) if other else sha
    assert (await read(world.sources, repository, wanted))["README.md"] == (b"the next" if other else b"the newest")


async def test_damage_found_while_reading_is_repaired_by_the_next_attempt(world: World) -> None:
    _, repository, sha = await world.create({"a.sql": os.urandom(200_000)})
    async with world.sources.open(repository, sha) as tree:
        spoil_packs(world.mirror(repository))
        with pytest.raises(UnavailableError):
            await tree.read([entry.oid for entry in tree.entries])
    await read(world.sources, repository, sha)


async def test_mirrors_can_be_removed_and_the_oldest_are_evicted(world: World) -> None:
    _, repository, sha = await world.create()
    await read(world.sources, repository, sha)
    await world.sources.tidy()
    assert world.mirror(repository).exists()
    await world.sources.tidy(max_bytes=1)
    assert not world.mirror(repository).exists()
    await read(world.sources, repository, sha)
    await world.sources.remove(repository.id)
    assert not world.mirror(repository).exists()


@pytest.mark.parametrize("restarted", [False, True])
async def test_one_installation_does_not_push_out_the_mirror_of_another(world: World, *, restarted: bool) -> None:
    """Nor one with many repositories, each smaller than the other's only one, after the service was restarted."""
    hosted = await world.github.create_repository("acme/quiet", {"a.bin": os.urandom(150_000)})
    installed = await world.github.install("acme", [hosted])
    quiet, sha = Repository(hosted.id, hosted.full_name, installed.id), await world.github.push(hosted, {"b.bin": b"1"})
    await read(world.sources, quiet, sha)
    for name in ("HEAD", f"refs/freshet/{sha}"):
        os.utime(world.mirror(quiet) / name, (0, time.time() - 1000))
    os.utime(world.mirror(quiet), (0, time.time() - 1000))
    for number in range(5):
        hog = await world.github.create_repository(f"octo/hog{number}", {"a.bin": os.urandom(100_000)})
        await read(world.sources, Repository(hog.id, hog.full_name, world.installation.id), await world.github.push(hog, {"b.bin": b"1"}))
    sources = world.sources
    if restarted:
        sources.close()
        sources = GitSources(world.github.server_url, world.work_dir, world.auth.fetch_token, environ=os.environ)
    await sources.tidy(max_bytes=450_000)
    sources.close()
    assert world.mirror(quiet).exists()
    assert 1 < len([*(world.work_dir / "git").glob("*.git")]) < 6


async def test_a_mirror_unused_for_a_month_is_removed(world: World) -> None:
    hosted, repository, sha = await world.create()
    await read(world.sources, repository, sha)
    other = await world.github.create_repository("octo/other", FILES)
    await read(world.sources, Repository(other.id, other.full_name, world.installation.id), await world.github.push(other, {}))
    for path in (world.mirror(repository), *world.mirror(repository).glob("refs/freshet/*")):
        os.utime(path, (0, time.time() - MAX_AGE_S - 60))
    await world.sources.tidy()
    assert [path.stem for path in (world.work_dir / "git").glob("*.git")] == [str(other.id)]
    await read(world.sources, repository, await world.github.push(hosted, {"README.md": b"awake"}))


async def test_many_packs_are_repacked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.github.git.mirror.MANY_PACKS", 2)
    hosted, repository, sha = await world.create()
    for n in range(4):
        await read(world.sources, repository, await world.github.push(hosted, {"README.md": str(n).encode()}))
    await world.sources.tidy()
    assert len(list(world.mirror(repository).glob("objects/pack/*.pack"))) == 1
    before = world.fetches()
    await read(world.sources, repository, await world.client.branch_head(repository, "main") or "")
    assert world.fetches() == before
    await read(world.sources, repository, sha)


async def test_two_processes_do_not_share_a_directory(world: World) -> None:
    _, repository, sha = await world.create()
    other = GitSources(world.github.server_url, world.work_dir, world.auth.fetch_token, environ=os.environ)
    await asyncio.gather(read(world.sources, repository, sha), read(other, repository, sha))
    assert (world.work_dir / "git-1" / f"{repository.id}.git").exists()
    other.close()


# The token


def git_children() -> list[Path]:
    """/proc directories of git processes below this one that left our session; those of the double stay in it."""
    found, left = [], [os.getpid()]
    while left:
        process = Path(f"/proc/{left.pop()}")
        with suppress(OSError):  # it has ended
            for children in process.glob("task/*/children"):
                left += map(int, children.read_text().split())
            name, _, rest = (process / "stat").read_text().partition(" (")[2].rpartition(") ")
            _, _, _, session, *_ = rest.split()
            if name.startswith("git") and int(session) != os.getsid(0):
                found.append(process)
    return found


def arguments_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def holders(directory: Path, secrets: Sequence[str]) -> list[Path]:
    needles = [secret.encode() for secret in secrets]
    files = [path for path in directory.rglob("*") if stat.S_ISREG(path.lstat().st_mode)]
    return [path for path in files if any(needle in path.read_bytes() for needle in needles)]


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


async def test_the_token_is_in_no_argument_file_log_or_error(world: World, printed: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "NEW_TOKEN_PAUSES_S", (0.0, 0.0))
    hosted, repository, sha = await world.create()
    lines: list[bytes] = []
    done = False

    async def watch() -> None:
        while not done:
            lines.extend(arguments_of(int(path.name)) for path in git_children())
            await asyncio.sleep(0.005)

    world.github.faults.add("POST", "/git-upload-pack$", 1, Delay(0.2))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch())
        await read(world.sources, repository, sha)
        world.github.revoke_all_tokens()
        await failing(world, repository, "2" * 40)
        await world.github.delete_repository(hosted)
        error = await failing(world, repository, "1" * 40)
        done = True
    secrets = [text for token in world.secrets for text in (token, b64encode(f"x-access-token:{token}".encode()).decode())]
    assert secrets
    assert any(b"fetch" in line for line in lines)
    assert "git.fetch_again" in printed.getvalue()
    shown = b"".join(lines).decode() + printed.getvalue() + repr(error) + error.user_text + repr(error.__cause__)
    assert not [secret for secret in secrets if secret in shown]
    assert holders(world.work_dir, secrets) == []


async def test_cancelling_leaves_nothing_behind(world: World) -> None:
    _, repository, sha = await world.create()
    for delay_s in (0.0, 0.001, 0.01, 0.05, 0.2):
        world.github.faults.clear()
        world.github.faults.add("POST", "/git-upload-pack$", 1, Delay(1))
        task = asyncio.ensure_future(read(world.sources, repository, sha))
        await asyncio.sleep(delay_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert git_children() == []
    world.github.faults.clear()
    assert (await read(world.sources, repository, sha))["README.md"] == b"the newest"
    assert (await read(world.sources, repository, sha))["README.md"] == b"the newest"


async def test_cancelling_a_start_leaves_nothing_behind() -> None:
    git = Git({"PATH": os.environ["PATH"]})
    for turns in range(6):
        task = asyncio.ensure_future(git.run("cat-file", "--batch"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert git_children() == []


def test_a_missing_git_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="git is not on the PATH"):
        Git({"PATH": str(tmp_path)})
