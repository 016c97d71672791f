"""Big repositories: only the files that are read are fetched, with the same result."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import TreeTooBigError
from app.core.models.github import Repository
from app.github.git.directories import size_of
from app.project.checkout import UNKNOWN_SIZE
from tests.double import git as hosting
from tests.flow import laid_out
from tests.integration.test_github_source import World, make_world, read, spoil_packs, unpack

NOISE = random.Random(0).randbytes(2_000_000)  # noqa: S311 - the same each time
PROJECT: dict[str, Any] = {
    "transform/dbt_project.yml": b"name: shop\nmodel-paths: [models, ../shared]\n",
    "transform/models/orders.sql": b"select 1\n",
    "transform/seeds/big.csv": b"id,name\n" + b"1,one\n" * 50_000,
    "transform/profiles.yml": b"default: {target: a, outputs: {a: {type: trino}}}\n",
    "shared/customers.sql": b"select 2\n",
    "poetry.lock": b"#" * (5 << 20),
    "services/noise.bin": NOISE,
    "services/main.py": b"print()\n",
}
EVERYTHING, NOTHING = 1 << 30, 0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Sources for which every repository is big."""
    async with make_world(tmp_path, whole_bytes=NOTHING) as made:
        yield made


async def archived(world: World, repository: Repository, sha: str) -> dict[str, bytes]:
    layout, _ = await laid_out(world.sources, repository, sha)
    async with world.sources.open(repository, sha) as tree:
        return await unpack(tree.members(layout.members))


async def test_the_container_receives_the_same_files_and_the_rest_is_not_fetched(tmp_path: Path) -> None:
    found = []
    for name, whole_bytes in (("whole", EVERYTHING), ("partial", NOTHING)):
        async with make_world(tmp_path / name, whole_bytes=whole_bytes) as world:
            _, repository, sha = await world.create(PROJECT)
            files = await archived(world, repository, sha)
            _, input_hash = await laid_out(world.sources, repository, sha)
            found.append((files, input_hash, size_of(world.mirror(repository))))
    (whole, its_hash, all_bytes), (partial, other_hash, bytes_fetched) = found
    assert partial == whole
    assert {*partial} == {f"src/{path}" for path in PROJECT if path.startswith(("transform/", "shared/")) and "profiles" not in path}
    assert other_hash == its_hash
    assert all_bytes > len(NOISE) > 100 * 1024 > bytes_fetched


async def test_files_fetched_later_are_counted(world: World) -> None:
    _, repository, sha = await world.create(PROJECT)
    async with world.sources.open(repository, sha) as tree:
        at_first = tree.fetched_bytes
        [oid] = [entry.oid for entry in tree.entries if entry.path == "services/noise.bin"]
        await tree.read([oid])
        assert 0 < at_first < 10_000
        assert len(NOISE) < tree.fetched_bytes - at_first < len(NOISE) + 10_000


async def test_a_push_fetches_new_files_with_one_request_per_step(world: World) -> None:
    hosted, repository, sha = await world.create(PROJECT)
    await archived(world, repository, sha)
    # The commit; configuration files; files that dbt reads.
    assert world.fetches() == 3
    sha = await world.github.push(hosted, {"transform/models/orders.sql": b"select 3\n"})
    assert (await archived(world, repository, sha))["src/transform/models/orders.sql"] == b"select 3\n"
    assert world.fetches() == 5
    await archived(world, repository, await world.github.push(hosted, {"services/main.py": os.urandom(1 << 20)}))
    assert world.fetches() == 6
    assert size_of(world.mirror(repository)) < 100 * 1024


async def test_a_big_repository_is_detected_while_it_is_fetched(tmp_path: Path) -> None:
    async with make_world(tmp_path, whole_bytes=1 << 20) as world:
        big = {f"services/{number}.bin": os.urandom(8 << 20) for number in range(2)}
        _, repository, sha = await world.create({**PROJECT, **big})
        assert len(await archived(world, repository, sha)) == 4
        assert size_of(world.mirror(repository)) < 1 << 20


async def test_a_server_without_filters(world: World) -> None:
    hosted, repository, sha = await world.create(PROJECT)
    await hosting.run(hosted.directory, "config", "uploadpack.allowFilter", "false")
    assert len(await archived(world, repository, sha)) == 4
    assert world.fetches() == 1


async def test_files_of_unknown_size_are_limited(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, repository, sha = await world.create(PROJECT)
    monkeypatch.setattr("app.github.git.commit_tree.MAX_BYTES", 1 << 10)
    with pytest.raises(TreeTooBigError, match="dbt would read more than"):
        await archived(world, repository, sha)


async def test_a_mirror_with_many_packs_is_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.github.git.mirror.MANY_PARTIAL_PACKS", 2)
    _, repository, sha = await world.create(PROJECT)
    expected = await archived(world, repository, sha)
    await world.sources.tidy()
    assert not world.mirror(repository).exists()
    assert await archived(world, repository, sha) == expected


async def test_damaged_or_missing_files_are_fetched_again(world: World) -> None:
    hosted, repository, sha = await world.create(PROJECT)
    expected = await archived(world, repository, sha)
    layout, _ = await laid_out(world.sources, repository, sha)
    async with world.sources.open(repository, sha) as tree:
        assert {entry.size for entry in tree.entries} == {UNKNOWN_SIZE}
        spoil_packs(world.mirror(repository))
        assert await unpack(tree.members(layout.members)) == expected
    assert await archived(world, repository, sha) == expected
    wanted = await world.github.push(hosted, {"README.md": b"the next"})
    spoil_packs(world.mirror(repository))
    assert (await read(world.sources, repository, wanted))["README.md"] == b"the next"
