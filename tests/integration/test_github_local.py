"""Sources of the command line: work trees, plain directories, git URLs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from app.core.errors import CommitGoneError, FreshetError, GoneError
from app.github.git.local import LocalSource, local_source, merge_base, parse_place
from app.pipeline.ports import Sources
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
    async with local_source(parse_place(place), os.environ, scratch) as found:
        assert found.repository.id == 0
        return found.repository.full_name, found.sha, found.directory, await files_of(found)


async def files_of(found: LocalSource) -> dict[str, bytes]:
    sources: Sources = found
    async with sources.open(found.repository, found.sha) as tree:
        contents = await tree.read([entry.oid for entry in tree.entries])
        return {entry.path: contents[entry.oid] for entry in tree.entries}


async def uncommitted(place: Path) -> tuple[str, str | None, tuple[str, ...]]:
    async with local_source(parse_place(str(place)), os.environ) as found:
        return found.sha, found.head_sha, found.uncommitted


async def test_a_work_tree_is_read_as_it_is(work_tree: Path) -> None:
    head = git(work_tree, "rev-parse", "HEAD")
    assert await read(str(work_tree)) == ("shop", head, None, FILES)
    changes = {"models/orders.sql": b"not committed", "new.sql": b"", "staged.sql": b"staged"}
    write(work_tree, changes)
    git(work_tree, "add", "staged.sql")
    status, objects = git(work_tree, "status", "--porcelain"), git(work_tree, "count-objects")
    assert (await read(str(work_tree)))[3] == FILES | changes
    sha, head_sha, names = await uncommitted(work_tree)
    assert (sha == head, head_sha, names) == (False, head, ("models/orders.sql", "new.sql", "staged.sql"))
    assert (git(work_tree, "status", "--porcelain"), git(work_tree, "count-objects")) == (status, objects), "nothing is written"
    (work_tree / "dbt_project.yml").unlink()
    assert "dbt_project.yml" not in (await read(str(work_tree)))[3]


async def test_a_commit_of_a_work_tree_has_no_uncommitted_files(work_tree: Path) -> None:
    sha = git(work_tree, "rev-parse", "HEAD")
    write(work_tree, {"models/orders.sql": b"not committed"})
    for ref in (f"@{sha}", f"@{sha[:8]}", "@HEAD", "#main"):
        assert (await read(f"{work_tree}{ref}"))[1::2] == (sha, FILES)
    with pytest.raises(GoneError, match="not in a git work tree"):
        await read(f"{write(work_tree.parent / 'plain', FILES)}@{sha}")


async def test_a_directory_whose_name_has_the_signs(tmp_path: Path) -> None:
    directory = write(tmp_path / "shop@2#next", FILES)
    assert (await read(str(directory)))[3] == FILES


async def test_a_work_tree_before_its_first_commit(tmp_path: Path) -> None:
    git(write(tmp_path / "new", FILES), "init", "--quiet")
    assert (await read(str(tmp_path / "new")))[3] == FILES
    assert (await uncommitted(tmp_path / "new"))[1:] == (None, ())


async def test_a_work_tree_with_another_hash(tmp_path: Path) -> None:
    directory = write(tmp_path / "modern", FILES)
    git(directory, "init", "--quiet", "--object-format=sha256")
    git(directory, "add", ".")
    git(directory, "commit", "--quiet", "-m", "First")
    write(directory, {"new.sql": b"select 2"})
    assert (await read(str(directory)))[3] == {**FILES, "new.sql": b"select 2"}


async def test_files_are_read_byte_for_byte(work_tree: Path) -> None:
    odd = {".gitattributes": b"*.sql text eol=crlf ident\n", "models/crlf.sql": b"select 1\r\n-- $Id$\r\n", "models/latin.sql": b"-- \xe9"}
    write(work_tree, odd)
    assert (await read(str(work_tree)))[3] == FILES | odd


async def test_submodules_that_are_checked_out_are_read(work_tree: Path, tmp_path: Path) -> None:
    shared = write(tmp_path / "shared", {"macros/cents.sql": b"{% macro cents() %}{% endmacro %}"})
    git(shared, "init", "--quiet")
    git(shared, "add", ".")
    git(shared, "commit", "--quiet", "-m", "First")
    git(work_tree, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(shared), "libs/shared")
    git(work_tree, "commit", "--quiet", "-m", "Add a submodule")
    async with local_source(parse_place(str(work_tree)), os.environ) as found:
        assert found.uncommitted == ()
    write(work_tree, {"libs/shared/macros/euros.sql": b"not committed"})
    async with local_source(parse_place(str(work_tree)), os.environ) as found:
        assert "libs/shared/macros/euros.sql" in found.uncommitted
    files = (await read(str(work_tree)))[3]
    assert {path for path in files if path.startswith("libs/")} == {"libs/shared/macros/cents.sql", "libs/shared/macros/euros.sql"}


async def test_the_merge_base_with_another_branch(work_tree: Path) -> None:
    first = git(work_tree, "rev-parse", "HEAD")
    git(work_tree, "checkout", "--quiet", "-b", "next")
    git(work_tree, "checkout", "--quiet", "main")
    write(work_tree, {"main.sql": b""})
    git(work_tree, "add", ".")
    git(work_tree, "commit", "--quiet", "-m", "Second")
    git(work_tree, "checkout", "--quiet", "next")
    async with local_source(parse_place(str(work_tree)), os.environ) as found:
        assert await merge_base(found, "main") == first
        assert await merge_base(found, "no-such") == "no-such"


async def test_a_directory_of_a_work_tree(work_tree: Path) -> None:
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


async def test_a_plain_directory_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"outside")
    directory = write(tmp_path / "plain", {**FILES, ".gitignore": b"target/\n", "target/manifest.json": b"{}"})
    (directory / "link.sql").symlink_to(tmp_path / "secret")
    name, _, prefix, files = await read(str(directory), tmp_path)
    assert (name, prefix) == ("plain", None)
    assert files == {**FILES, ".gitignore": b"target/\n", "link.sql": str(tmp_path / "secret").encode()}
    assert names_in(tmp_path) == ["plain", "secret"]
    assert not (directory / ".git").exists()


async def test_an_uncommitted_directory_is_a_part_of_its_work_tree_and_an_ignored_one_is_plain(work_tree: Path) -> None:
    other = {"other/dbt_project.yml": b"name: other\n"}
    write(work_tree, other)
    assert (await read(str(work_tree / "other")))[2:] == ("other", FILES | other)
    write(work_tree, {".gitignore": b"other/\n"})
    assert (await read(str(work_tree / "other")))[2:] == (None, {"dbt_project.yml": b"name: other\n"})


async def test_hooks_and_filters_of_a_repository_do_not_run(work_tree: Path, tmp_path: Path) -> None:
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
    assert [(await read(f"file://{work_tree}{ref}"))[1] for ref in (f"#{sha}", f"@{sha}", "#main")] == [sha] * 3


async def test_a_github_url() -> None:
    async with GitHubDouble() as github:
        hosted = await github.create_repository("octo/shop", FILES, private=False)
        sha = await github.push(hosted, {"next.sql": b"select 2"}, branch="next")
        assert (await read(f"{github.server_url}/octo/shop"))[::3] == ("octo/shop", FILES)
        assert (await read(f"{github.server_url}/octo/shop.git#next"))[1] == sha
        for place in ("octo/no-such", "octo/shop#no-such", "octo/shop#--all"):
            with pytest.raises(GoneError):
                await read(f"{github.server_url}/{place}")


@pytest.mark.parametrize("place", ["/no/such/directory", "file:///no/such/directory", "ext::sh -c touch% /tmp/pwned"])
async def test_missing_places(place: str) -> None:
    with pytest.raises(FreshetError):
        await read(place)


async def test_a_commit_that_is_not_there(work_tree: Path) -> None:
    async with local_source(parse_place(str(work_tree)), os.environ) as found:
        with pytest.raises(CommitGoneError):
            async with found.open(found.repository, "1" * 40):
                pass
