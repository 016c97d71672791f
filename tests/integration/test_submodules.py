"""Submodules of our own GitHub server, with real git over real HTTP."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.github.git.source import GitSources
from app.github.git.submodules import SubmoduleSources, parse_modules
from app.project.layout import ProjectLayout
from tests.double import Submodule, Symlink
from tests.double.git import Content
from tests.flow import laid_out
from tests.integration.test_github_packages import World, make_world
from tests.integration.test_github_source import unpack

MODULES = """[submodule "shared"]
\tpath = libs/shared
\turl = ../shared.git
[submodule "theirs"]
\tpath = libs/theirs
\turl = https://git.example/x/theirs.git
[submodule "hidden"]
\tpath = libs/hidden
\turl = ../../other/hidden.git
"""
PROJECT = {"dbt_project.yml": "name: shop\nmodel-paths: [models, libs/shared/models]\n", "models/a.sql": "select 1", ".gitmodules": MODULES}
SHARED = {"dbt_project.yml": b"name: shared\n", "macros/m.sql": b"m", "models/s.sql": b"s"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with make_world(tmp_path) as made:
        yield made


async def create(world: World, full_name: str, files: Mapping[str, Content]) -> str:
    await world.github.create_repository(full_name, files)
    return await push(world, {"README.md": "x"}, full_name)


async def push(world: World, files: Mapping[str, Content], full_name: str = "octo/shop") -> str:
    hosted = world.github.state.repository(full_name)
    assert hosted is not None
    return await world.github.push(hosted, files)


@asynccontextmanager
async def sources(world: World) -> AsyncIterator[SubmoduleSources]:
    commits = GitSources(world.github.server_url, world.work_dir / "commits", world.auth.fetch_token, environ=os.environ)
    try:
        yield SubmoduleSources(commits, world.packages)
    finally:
        commits.close()


async def layouts(world: World, *files: Mapping[str, Content]) -> list[tuple[ProjectLayout, str]]:
    """Push to `octo/shop` one after the other; what dbt would read, and the input hashes."""
    async with sources(world) as opened:
        return [await laid_out(opened, world.requester, await push(world, one)) for one in files]


async def test_submodules_that_dbt_reads_are_fetched_at_their_commit(world: World) -> None:
    first = await create(world, "octo/shared", SHARED)
    second = await push(world, {"models/s.sql": b"changed"}, "octo/shared")
    packages = {"packages.yml": "packages: [{local: libs/shared}]"}
    files: dict[str, Content] = {
        **PROJECT,
        **packages,
        "libs/shared": Submodule(first),
        "web/theme": Submodule("1" * 40),
        "models/l.sql": Symlink("../libs/shared/models/s.sql"),
    }
    (_, before), (layout, after) = await layouts(world, files, {"libs/shared": Submodule(second)})
    assert {member.path for member in layout.members} >= {"libs/shared/macros/m.sql", "libs/shared/models/s.sql", "models/l.sql"}
    assert (layout.omitted, layout.needs_packages, before != after) == ({}, True, True)
    assert "libs/shared/dbt_project.yml" in layout.package_texts
    async with sources(world) as opened, opened.open(world.requester, await push(world, {"README.md": "x"})) as tree:
        assert await tree.fetch_submodules(["libs/shared"]) == {"libs/shared": ""}
        found = await unpack(tree.members(layout.members))
    assert (found["src/libs/shared/models/s.sql"], found["src/models/l.sql"], found["src/models/a.sql"]) == (
        b"changed",
        b"changed",
        b"select 1",
    )


async def test_a_submodule_in_a_submodule_is_fetched_too(world: World) -> None:
    inner = await create(world, "octo/inner", SHARED)
    modules = '[submodule "i"]\n\tpath = deep/inner\n\turl = ../inner.git\n'
    outer = await create(world, "octo/shared", {".gitmodules": modules, "deep/inner": Submodule(inner)})
    project = {**PROJECT, "dbt_project.yml": "name: shop\nmacro-paths: [libs/shared/deep/inner/macros]\n"}
    ((layout, _),) = await layouts(world, {**project, "libs/shared": Submodule(outer)})
    assert "libs/shared/deep/inner/macros/m.sql" in {member.path for member in layout.members}


async def test_a_submodule_that_cannot_be_fetched_is_said_to_be_one(world: World) -> None:
    await world.github.create_repository("other/hidden", SHARED)
    paths = ["libs/hidden", "libs/theirs", "libs/unnamed", "libs/shared"]
    config = f"name: shop\nmacro-paths: [{', '.join(f'{path}/m' for path in paths)}]\n"
    files: dict[str, Content] = {**PROJECT, "dbt_project.yml": config, **dict.fromkeys(paths, Submodule("1" * 40))}
    ((layout, _),) = await layouts(world, files)
    assert layout.omitted == {
        "libs/hidden": "is a git submodule that cannot be fetched: other/hidden is not public and not part of this installation",
        "libs/theirs": "is a git submodule from another server, which Freshet does not fetch",
        "libs/unnamed": "is a git submodule without an address in `.gitmodules`",
        "libs/shared": "is a git submodule that cannot be fetched: octo/shared is not public and not part of this installation",
    }


async def test_submodules_that_dbt_does_not_read_are_not_fetched(world: World) -> None:
    await layouts(world, {**PROJECT, "dbt_project.yml": "name: shop\n", "libs/shared": Submodule("1" * 40)})
    assert not [request for request in world.github.requests if "shared" in request.path]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", {}),
        (b'[submodule "a"]\npath=a/\n  URL = "https://x/y"\n', {"a": "https://x/y"}),
        (b'[submodule "a"]\npath = a\n[submodule "b"]\nurl = x\n', {}),
        (b"\xff[[[ path = \0", {}),
    ],
)
def test_addresses_of_submodules_are_read_as_far_as_possible(text: bytes, found: dict[str, str]) -> None:
    assert parse_modules(text) == found
