"""Hostile repositories, through the real git path: each is handled quickly, in a few megabytes, with a clear error."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.core.errors import FreshetError, GitHubUnavailableError, TreeTooBigError
from app.core.models.github import Repository
from app.github.git import commit_tree
from app.github.git.commit_tree import MAX_ENTRIES, CommitTree, list_entries
from app.github.git.directories import init_bare
from app.github.git.mirror import Mirror, ref_of
from app.github.git.process import Git, clean_environ
from app.project.checkout import Entry, is_clean
from app.project.read_files import Member
from tests.double import Submodule, Symlink
from tests.integration.test_github_source import World, failing, make_world, read, unpack
from tests.patience import HANGS_S

FILE, LINK, DIRECTORY, SUBMODULE = b"100644", b"120000", b"40000", b"160000"
WHO = b"Mallory <m@example.com> 1700000000 +0000"
HUGE_MIB = 512
Line = tuple[bytes, bytes, str]
"""Mode, name, object id."""


@dataclass(frozen=True)
class Objects:
    """Writes objects that git's own tools reject: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects."""

    directory: Path

    def put(self, kind: str, data: bytes) -> str:
        return self.put_big(kind, len(data), [data])

    def put_big(self, kind: str, size: int, chunks: list[bytes]) -> str:
        digest, packed, written = hashlib.sha1(), zlib.compressobj(1), bytearray()  # noqa: S324 - git's
        for chunk in (f"{kind} {size}\0".encode(), *chunks):
            digest.update(chunk)
            written += packed.compress(chunk)
        oid = digest.hexdigest()
        path = self.directory / "objects" / oid[:2] / oid[2:]
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(written + packed.flush())
        return oid

    def tree(self, *lines: Line) -> str:
        return self.put("tree", b"".join(mode + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in lines))

    def commit(self, tree: str) -> str:
        return self.put("commit", b"tree %s\nauthor %s\ncommitter %s\n\nhello\n" % (tree.encode(), WHO, WHO))

    def nested(self, tree: str, depth: int, width: int = 1) -> str:
        """A tree `depth` directories deep, each with `width` identical subtrees."""
        for _ in range(depth):
            tree = self.tree(*((DIRECTORY, b"%d" % number, tree) for number in range(width)))
        return tree


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with make_world(tmp_path / "work", fetch_timeout_s=120.0) as made:
        yield made


@pytest.fixture
async def hosted(world: World) -> tuple[Objects, Repository]:
    found, repository, _ = await world.create()
    return Objects(found.directory), repository


@pytest.fixture
async def local(tmp_path: Path) -> tuple[Git, Objects]:
    git = Git(clean_environ({"PATH": os.environ["PATH"]}, home=str(tmp_path), protocols="file"))
    await init_bare(git, tmp_path / "local.git")
    return git, Objects(tmp_path / "local.git")


async def listed(world: World, repository: Repository, sha: str) -> list[Entry]:
    async with world.sources.open(repository, sha) as tree:
        return list(tree.entries)


def peak_mib(who: int = resource.RUSAGE_SELF) -> int:
    return resource.getrusage(who).ru_maxrss >> 10


async def test_unusual_names_are_listed_but_not_copied(world: World, hosted: tuple[Objects, Repository], tmp_path: Path) -> None:
    objects, repository = hosted
    blob = objects.put("blob", b"select 1")
    names = [b"..", b".", b"/etc/passwd", b"../../x.sql", b".git", b"a\nb.sql", b"\x1b[2Jc.sql", "\u202elqs.x".encode(), b"n" * 4000]
    inner = objects.tree((FILE, b"x.sql", blob))
    odd = [(FILE, name, blob) for name in [*names, b"caf\xe9.sql", b"n" * 5000]]
    both = [(FILE, b"CASE.sql", blob), (FILE, b"case.sql", blob), (DIRECTORY, b"..", inner), (DIRECTORY, b".git", inner)]
    sha = objects.commit(objects.tree(*odd, *both))
    async with world.sources.open(repository, sha) as tree:
        clean = [entry for entry in tree.entries if is_clean(entry.path)]
        assert {entry.path for entry in clean} == {"CASE.sql", "case.sql", "\u202elqs.x"}
        found = await unpack(tree.members([Member(entry.path, entry.oid, entry.size) for entry in clean]))
        assert len(tree.entries) == len(names) + 5
    assert found == dict.fromkeys(["src/CASE.sql", "src/case.sql", "src/\u202elqs.x"], b"select 1")
    # Nothing is ever checked out: the work directory contains only git's own files, and nothing changed beside it.
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    assert [path for path in tmp_path.rglob("*") if path.suffix == ".sql" or path.is_symlink()] == []


async def test_links_submodules_and_filters_have_no_effect(world: World, tmp_path: Path) -> None:
    marker = tmp_path / "touched"
    files = {
        "out": Symlink("/etc/passwd"),
        "up": Symlink("../../../../etc/passwd"),
        "loop": Symlink("loop"),
        "a/b": Symlink("../a"),
        "sub": Submodule("1" * 40),
        ".gitmodules": f'[submodule "sub"]\n\tpath = sub\n\turl = {world.github.server_url}/octo/other.git\n\tupdate = !touch {marker}\n',
        ".gitattributes": "* filter=evil export-subst working-tree-encoding=UTF-16\n",
        ".lfsconfig": "[lfs]\n\turl = http://169.254.169.254/\n",
        "models/a.sql": "select '$Format:%H$'",
    }
    _, repository, sha = await world.create(files)
    found = await read(world.sources, repository, sha)
    assert (found["out"], found["loop"], found["models/a.sql"]) == (b"/etc/passwd", b"loop", b"select '$Format:%H$'")
    assert "sub" not in found
    assert not marker.exists()
    assert {request.path.split("/")[2] for request in world.github.requests if ".git/" in request.path} == {"shop.git"}


async def test_200_000_files_are_listed_in_a_few_megabytes(world: World, hosted: tuple[Objects, Repository]) -> None:
    objects, repository = hosted
    blob = objects.put("blob", b"select 1")
    sha = objects.commit(objects.tree(*((FILE, b"model_%06d.sql" % number, blob) for number in range(200_000))))
    before = peak_mib()
    assert len(await listed(world, repository, sha)) == 200_000
    assert peak_mib() - before < 250


async def test_a_tree_bomb_is_not_expanded(world: World, hosted: tuple[Objects, Repository]) -> None:
    """Eleven small objects that expand to ten billion files."""
    objects, repository = hosted
    sha = objects.commit(objects.nested(objects.tree((FILE, b"a.sql", objects.put("blob", b"select 1"))), 10, width=10))
    before = peak_mib()
    async with asyncio.timeout(HANGS_S):
        error = await failing(world, repository, sha)
    assert type(error) is TreeTooBigError
    assert f"more than {MAX_ENTRIES:,} files" in error.user_text
    assert peak_mib() - before < 400


async def test_a_bomb_of_long_names_is_limited_in_bytes(local: tuple[Git, Objects]) -> None:
    git, objects = local
    tree = objects.tree((FILE, b"n" * 4000, objects.put("blob", b"")))
    with pytest.raises(TreeTooBigError, match="more than 128 MiB of file names"):
        await list_entries(git, str(objects.directory), objects.nested(tree, 6, width=10))


async def test_a_bomb_of_deep_directories_is_limited(local: tuple[Git, Objects]) -> None:
    """A thousand files below 900 directories each: whoever lists those directories needs gigabytes."""
    git, objects = local
    deep = objects.nested(objects.tree((FILE, b"a.sql", objects.put("blob", b""))), 900)
    with pytest.raises(TreeTooBigError, match="nested too deep"):
        await list_entries(git, str(objects.directory), objects.tree(*((DIRECTORY, b"%03d" % number, deep) for number in range(1000))))


async def test_a_bomb_of_empty_directories_is_limited_in_time(local: tuple[Git, Objects]) -> None:
    """Directories without files: git would run for years without output."""
    git, objects = local
    tree = objects.nested(objects.tree(), 12, width=10)
    with pytest.raises(TreeTooBigError, match="took longer than 1 seconds"):
        await list_entries(git, str(objects.directory), tree, timeout_s=1.0)


@pytest.mark.parametrize("depth", [2_000, 20_000])
async def test_deeply_nested_directories(local: tuple[Git, Objects], depth: int) -> None:
    """Depends on git's version: it lists them (and no path is short enough), or reports that they are too deep."""
    git, objects = local
    tree = objects.nested(objects.tree((FILE, b"a.sql", objects.put("blob", b""))), depth)
    try:
        assert len(await list_entries(git, str(objects.directory), tree)) == (1 if depth == 2_000 else 0)
    except TreeTooBigError as error:
        assert "too deep" in error.user_text  # noqa: PT017 - either is fine


async def test_deep_directories_are_fetched_or_rejected(world: World, hosted: tuple[Objects, Repository]) -> None:
    objects, repository = hosted
    blob = objects.put("blob", b"")
    sha = objects.commit(objects.tree((FILE, b"a.sql", blob), (DIRECTORY, b"d", objects.nested(objects.tree((FILE, b"b", blob)), 10_000))))
    try:
        assert [entry.path for entry in await listed(world, repository, sha)] == ["a.sql"]
    except FreshetError as error:
        assert isinstance(error, TreeTooBigError | GitHubUnavailableError)  # noqa: PT017 - either is fine


async def test_a_huge_file_is_not_held_in_memory(world: World, hosted: tuple[Objects, Repository], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_tree, "MAX_SKIPPED_BYTES", 1 << 30)
    objects, repository = hosted
    blob = objects.put_big("blob", HUGE_MIB << 20, [bytes(1 << 20)] * HUGE_MIB)
    sha = objects.commit(objects.tree((FILE, b"big.csv", blob), (FILE, b"small.sql", objects.put("blob", b"select 1"))))
    ours, gits = peak_mib(), peak_mib(resource.RUSAGE_CHILDREN)
    async with world.sources.open(repository, sha) as tree:
        assert {entry.path: entry.size for entry in tree.entries} == {"big.csv": HUGE_MIB << 20, "small.sql": 8}
        with pytest.raises(TreeTooBigError, match="over 64 MiB"):
            await tree.read([blob])
        # Seeds are truncated: dbt reads only the header.
        found = await unpack(tree.members([Member("big.csv", blob, 64 << 10)]))
        assert found == {"src/big.csv": bytes(64 << 10)}
        with pytest.raises(TreeTooBigError, match="its seeds are over 1 GiB"):
            await drain(tree, [Member(f"{number}.csv", blob, 64 << 10) for number in range(50)])
    assert peak_mib() - ours < HUGE_MIB / 2
    # A child counts the memory of this process too, until it runs git.
    assert peak_mib(resource.RUSAGE_CHILDREN) <= max(gits, peak_mib(), HUGE_MIB / 2)


async def drain(tree: CommitTree, members: list[Member]) -> None:
    async for _ in tree.members(members):
        pass


async def test_a_commit_that_is_too_big_is_not_cached(local: tuple[Git, Objects], tmp_path: Path) -> None:
    git, objects = local
    sha = objects.commit(objects.tree((FILE, b"noise.csv", objects.put("blob", os.urandom(4 << 20)))))
    (objects.directory / "refs/heads/main").write_text(sha)
    mirror = Mirror(git, tmp_path / "mirror.git", max_fetch_bytes=1 << 20)
    with pytest.raises(TreeTooBigError, match="larger than 1 MiB"):
        await mirror.fetch(f"file://{objects.directory}", sha, {})
    assert not mirror.has(sha)
    assert not (mirror.path / ref_of(sha)).exists()


@pytest.mark.parametrize("tree", ["1" * 40, "blob"], ids=["missing", "a file"])
async def test_a_commit_without_a_tree(world: World, hosted: tuple[Objects, Repository], tree: str) -> None:
    objects, repository = hosted
    sha = objects.commit(tree if tree != "blob" else objects.put("blob", b"select 1"))
    error = await failing(world, repository, sha)
    assert isinstance(error, GitHubUnavailableError)
    assert error.doing == f"fetching octo/shop at {sha[:7]}"
    assert error.reason


async def test_an_empty_commit_has_no_files(world: World, hosted: tuple[Objects, Repository]) -> None:
    objects, repository = hosted
    assert await listed(world, repository, objects.commit(objects.tree())) == []
