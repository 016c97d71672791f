"""What the command line reads: work trees, plain directories, git URLs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from app.errors import CommitGoneError, FreshetError, GoneError
from app.github.local import local_source
from app.ports import Sources
from tests.double import GitHubDouble

FILES = {"dbt_project.yml": b"name: shop\n", "models/orders.sql": b"select 1\n"}
WHO = {
    "GIT_AUTHOR_NAME": "Mona",
    "GIT_AUTHOR_EMAIL": "mona@example.com",
    "GIT_COMMITTER_NAME": "Mona",
    "GIT_COMMITTER_EMAIL": "m@example.com",
}


def write(directory: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    return directory


def git(directory: Path, *arguments: str) -> str:
    environ = {**os.environ, **WHO, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(command, cwd=directory, env=environ, check=True, capture_output=True, text=True).stdout.strip()


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def work_tree(tmp_path: Path) -> Path:
    directory = write(tmp_path / "shop", FILES)
    git(directory, "init", "--quiet")
    git(directory, "add", ".")
    git(directory, "commit", "--quiet", "-m", "First")
    return directory


async def read(place: str, scratch: Path | None = None) -> tuple[str, str, str | None, dict[str, bytes]]:
    async with local_source(place, os.environ, scratch) as found:
        assert found.repository.id == 0
        sources: Sources = found
        async with sources.open(found.repository, found.sha) as tree:
            contents = await tree.read([entry.oid for entry in tree.entries])
            files = {entry.path: contents[entry.oid] for entry in tree.entries}
        return found.repository.full_name, found.sha, found.directory, files


async def test_a_work_tree_is_read_at_its_head(work_tree: Path) -> None:
    write(work_tree, {"models/orders.sql": b"not committed", "new.sql": b""})
    name, sha, directory, files = await read(str(work_tree))
    assert (name, sha, directory, files) == ("shop", git(work_tree, "rev-parse", "HEAD"), None, FILES)
    assert git(work_tree, "status", "--porcelain") == "M models/orders.sql\n?? new.sql"


async def test_a_part_of_a_work_tree_says_which(work_tree: Path) -> None:
    _, _, directory, files = await read(str(work_tree / "models"))
    assert (directory, files) == ("models", FILES)


async def test_another_branch_of_a_work_tree(work_tree: Path) -> None:
    git(work_tree, "checkout", "--quiet", "-b", "next")
    write(work_tree, {"next.sql": b"select 2"})
    git(work_tree, "add", ".")
    git(work_tree, "commit", "--quiet", "-m", "Next")
    git(work_tree, "checkout", "--quiet", "main")
    assert (await read(f"{work_tree}#next"))[3] == {**FILES, "next.sql": b"select 2"}
    with pytest.raises(GoneError, match="no-such"):
        await read(f"{work_tree}#no-such")
    with pytest.raises(GoneError):
        await read(f"{work_tree}#--all")


async def test_a_plain_directory_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"outside")
    directory = write(tmp_path / "plain", {**FILES, ".gitignore": b"target/\n", "target/manifest.json": b"{}"})
    (directory / "link.sql").symlink_to(tmp_path / "secret")
    name, _, prefix, files = await read(str(directory), tmp_path)
    assert (name, prefix) == ("plain", None)
    assert files == {**FILES, ".gitignore": b"target/\n", "link.sql": str(tmp_path / "secret").encode()}
    assert names_in(tmp_path) == ["plain", "secret"]
    assert not (directory / ".git").exists()


async def test_a_directory_that_no_commit_holds_is_plain(work_tree: Path) -> None:
    write(work_tree, {"ignored/dbt_project.yml": b"name: other\n"})
    assert (await read(str(work_tree / "ignored")))[3] == {"dbt_project.yml": b"name: other\n"}


async def test_hooks_and_filters_of_a_repository_are_not_run(work_tree: Path, tmp_path: Path) -> None:
    write(tmp_path / "plain", {**FILES, ".gitattributes": b"*.sql filter=evil\n"})
    git(work_tree, "config", "filter.evil.clean", f"touch {tmp_path}/pwned")
    git(work_tree, "config", "core.fsmonitor", f"touch {tmp_path}/pwned")
    await read(str(work_tree))
    await read(str(tmp_path / "plain"))
    assert not (tmp_path / "pwned").exists()


async def test_an_empty_directory(tmp_path: Path) -> None:
    assert (await read(str(tmp_path)))[3] == {}


async def test_a_url(work_tree: Path) -> None:
    name, sha, _, files = await read(f"file://{work_tree}")
    assert (sha, files) == (git(work_tree, "rev-parse", "HEAD"), FILES)
    assert name.endswith("/shop")
    assert (await read(f"file://{work_tree}#{sha}"))[1] == sha


async def test_a_url_of_github() -> None:
    async with GitHubDouble() as github:
        hosted = await github.create_repository("octo/shop", FILES, private=False)
        sha = await github.push(hosted, {"next.sql": b"select 2"}, branch="next")
        assert (await read(f"{github.server_url}/octo/shop"))[::3] == ("octo/shop", FILES)
        assert (await read(f"{github.server_url}/octo/shop.git#next"))[1] == sha
        for place in ("octo/no-such", "octo/shop#no-such", "octo/shop#--all"):
            with pytest.raises(GoneError):
                await read(f"{github.server_url}/{place}")


@pytest.mark.parametrize("place", ["/no/such/directory", "file:///no/such/directory", "ext::sh -c touch% /tmp/pwned"])
async def test_what_is_not_there(place: str) -> None:
    with pytest.raises(FreshetError):
        await read(place)


async def test_another_commit_than_the_one_found(work_tree: Path) -> None:
    async with local_source(str(work_tree), os.environ) as found:
        with pytest.raises(CommitGoneError):
            async with found.open(found.repository, "1" * 40):
                pass
