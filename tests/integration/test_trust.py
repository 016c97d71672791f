"""Who a lineage is trusted by: people who can push to a side branch change neither what the followed branch shows nor how it is parsed."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
import pytest_asyncio

from app.core.models.extractions import Extraction
from app.core.spool import Spool
from app.pipeline import triggers
from app.pipeline.ports import DbtJob, PackageRequest, PackageTree, Parsed, TarStream
from app.runner.parse_state import ParseStates
from app.store import Store
from tests.integration.life_world import IMAGE, USAGE, Runner, World, committed, make_world
from tests.integration.runner_steps import steps

LEASE = timedelta(minutes=1)
CLEAN = {
    "models/a.sql": "select 1 as id",
    "models/b.sql": "select 2 as id",
    "models/c.sql": "select * from {{ ref('b') }}",
    "analyses/x.sql": "select 1",
}
POISON = "select 1 -- poison"
"""An analysis that leaves a state which makes lineages wrong."""
RIGHT = {("model.shop.b", "model.shop.c")}
WRONG = {*RIGHT, ("model.shop.a", "model.shop.c")}

FORK = "mona:patch-1"
QUEUED = f"gh-readonly-queue/main/pr-12-{'0' * 40}"

Dbt = Callable[[Mapping[str, str], bytes | None], Awaitable[tuple[bytes, bytes | None]]]
"""From the files of a commit and a state to the manifest and the next state."""


async def remembering(files: Mapping[str, str], state: bytes | None) -> tuple[bytes, bytes]:
    """A dbt whose state remembers the poison, and which then gives a wrong lineage: as the real one does, see the last test."""
    poisoned = files["analyses/x.sql"] == POISON or state == b"poisoned"
    return manifest(WRONG if poisoned else RIGHT), b"poisoned" if poisoned else b"clean"


def manifest(edges: set[tuple[str, str]]) -> bytes:
    parents = {f"model.shop.{name}": [up for up, down in edges if down == f"model.shop.{name}"] for name in "abc"}
    common = {"resource_type": "model", "package_name": "shop", "config": {}}
    nodes = {one: {**common, "unique_id": one, "name": one[-1], "depends_on": {"nodes": up}} for one, up in parents.items()}
    about = {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json", "dbt_version": "1.11.16", "project_name": "shop"}
    return orjson.dumps({"metadata": {**about, "adapter_type": "duckdb"}, "nodes": nodes, "parent_map": parents})


@dataclass
class Dbts(Runner):
    """Runs a `Dbt` with real parse states."""

    states: ParseStates
    work_dir: Path
    run: Dbt = remembering
    parsed: list[str] = field(default_factory=list)
    """`full` or `from a state`, for each time that it ran."""

    async def parse(self, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> Parsed:
        del packages
        content = b"".join([chunk async for chunk in tree])
        with tarfile.open(fileobj=BytesIO(content + bytes(1024))) as archive:
            members = {one.name.removeprefix("src/"): archive.extractfile(one) for one in archive.getmembers()}
            files = {name: member.read().decode() for name, member in members.items() if member}
        state = await self.states.open(job)
        before = b"".join([chunk async for chunk in state.stream()]) if state else None
        found, after = await self.run(files, before)
        if after and (writer := self.states.new_writer(job, state)):
            await writer.write(after)
            await self.states.save(writer)
            writer.close()
        if state:
            state.close()
        self.parsed.append("from a state" if state else "full")
        spool = Spool(self.work_dir)
        await spool.write(found)
        await spool.flush()
        return Parsed(spool, "", USAGE, IMAGE.name, states_of=frozenset({state.branch} if state else ()))


class Pushes:
    """A repository with branches, of which every push is extracted."""

    def __init__(self, world: World) -> None:
        self.world, self.store = world, world.store
        self.commit(CLEAN)

    def commit(self, files: Mapping[str, str]) -> str:
        """Change files, and return the new commit."""
        for name, text in files.items():
            path = self.world.git.path / name
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text)
        return committed(self.world.git.path)

    async def push(self, branch: str, sha: str, **more: Any) -> Extraction:
        """Push a commit to a branch, and wait for its extraction."""
        connection = await self.store.connections.get(self.world.connection_id)
        assert connection is not None
        if branch == connection.followed_branch:
            await self.store.connections.move_head(connection.id, sha)
        return await self.run(await self.store.extractions.enqueue(connection.id, branch, sha, "push", **more))

    async def run(self, extraction_id: str) -> Extraction:
        async with self.world.working():
            ended = await self.world.ended(extraction_id)
        assert ended.status == "succeeded", ended.problem
        return ended

    async def extract(self, sha: str) -> Extraction:
        """Request a commit through the API."""
        connection = await self.store.connections.get(self.world.connection_id)
        assert connection is not None
        queued = await triggers.extract_now(self.store, cast("Any", None), connection, sha, "api")
        return await self.run(queued.id)

    async def follow(self, branch: str) -> None:
        await self.store.connections.change(self.world.connection_id, "", branch, manual=True)

    async def edges(self, sha: str | None = None) -> set[tuple[str, str]]:
        """The edges of the connection's lineage, or of that of a commit."""
        head = await self.store.lineages.head(self.world.connection_id, sha)
        assert head is not None
        rows = await self.store._db.rows(
            "SELECT unnest(n.upstream), n.unique_id FROM lineages l, nodes n WHERE l.id = $1 AND n.id = ANY(l.node_ids)", head.id
        )
        return {(row[0], row[1]) for row in rows if row[1] == "model.shop.c"}


@pytest_asyncio.fixture
async def pushes(store: Store, dsn: str, tmp_path: Path) -> Pushes:
    world = await make_world(store, dsn, tmp_path)
    world.runner = Dbts(world.runner.dbt, ParseStates(world.work_dir), world.work_dir)
    return Pushes(world)


def parsed(pushes: Pushes) -> list[str]:
    """How dbt ran since the last call."""
    runner = cast("Dbts", pushes.world.runner)
    done, runner.parsed = runner.parsed, []
    return done


async def poison(pushes: Pushes, branch: str, **more: Any) -> str:
    """Poison the state of a branch, and return its next, clean commit, with a lineage that the state made wrong."""
    await pushes.push(branch, pushes.commit({"analyses/x.sql": POISON}), **more)
    clean = pushes.commit({"analyses/x.sql": "select 2"})
    await pushes.push(branch, clean)
    assert await pushes.edges(clean) == WRONG
    return clean


async def test_the_followed_branch_does_not_carry_what_the_state_of_a_side_branch_made(pushes: Pushes) -> None:
    await pushes.push("main", pushes.commit({}))
    clean = await poison(pushes, "pr")
    merge = pushes.commit({})
    assert (await pushes.push("main", merge)).result["nodes"] == 3
    assert await pushes.edges() == RIGHT
    assert await pushes.edges(clean) == WRONG, "this is of that branch alone"
    # Nor does another branch, or one that is created at that commit.
    other = pushes.commit({})
    await pushes.push("other", other)
    assert await pushes.edges(other) == RIGHT
    await pushes.push("at that commit", clean)
    assert await pushes.edges(clean) == RIGHT


async def test_what_is_trusted_is_carried_without_running_dbt(pushes: Pushes) -> None:
    await pushes.push("pr", pushes.commit({}))
    assert parsed(pushes) == ["full"]
    await pushes.push("main", pushes.commit({}))
    assert parsed(pushes) == [], "a full parse is everybody's"
    await pushes.push("main", pushes.commit({"models/a.sql": "select 3"}))
    await pushes.push("main", pushes.commit({"models/a.sql": "select 4"}))
    assert parsed(pushes) == ["full", "from a state"]
    await pushes.push("main", pushes.commit({}))
    await pushes.push("new", pushes.commit({}))
    assert parsed(pushes) == [], "what the followed branch made is everybody's"
    await pushes.push("new", pushes.commit({"models/a.sql": "select 5"}))
    await pushes.push("new", pushes.commit({}))
    assert parsed(pushes) == ["from a state"], "and what a branch made itself is its own"


async def test_what_the_followed_branchs_state_made_on_a_side_branch_is_everybodys(pushes: Pushes) -> None:
    await pushes.push("main", pushes.commit({}))
    await pushes.push("pr", pushes.commit({"models/a.sql": "select 3"}))
    assert parsed(pushes) == ["full", "from a state"]
    await pushes.push(QUEUED, pushes.commit({}))
    await pushes.push("main", pushes.commit({}))
    assert parsed(pushes) == [], "neither in the merge queue nor after the merge"
    await pushes.push("pr", pushes.commit({"models/a.sql": "select 4"}))
    await pushes.push("main", pushes.commit({}))
    assert parsed(pushes) == ["from a state"] * 2, "the second commit of the branch was made with its own state"


async def test_a_state_of_a_branch_that_is_followed_no_longer_is_not_the_followed_branchs(pushes: Pushes) -> None:
    await pushes.follow("pr")
    await poison(pushes, "pr")
    await pushes.follow("main")
    await pushes.push("main", pushes.commit({"models/a.sql": "select 3"}))
    side = pushes.commit({"models/a.sql": "select 4"})
    await pushes.push("other", side)
    await pushes.push("main", pushes.commit({}))
    assert (await pushes.edges(side), await pushes.edges()) == (RIGHT, RIGHT)


async def test_a_branch_of_a_merge_queue_leaves_no_state(pushes: Pushes) -> None:
    await pushes.push(QUEUED, pushes.commit({}))
    await pushes.push(QUEUED, pushes.commit({"models/a.sql": "select 3"}))
    assert parsed(pushes) == ["full", "full"]


async def test_what_a_stranger_made_is_the_strangers_alone(pushes: Pushes) -> None:
    await pushes.push("main", pushes.commit({}))
    forked = pushes.commit({"models/a.sql": "select 3"})
    await pushes.push(FORK, forked)
    assert parsed(pushes) == ["full", "from a state"], "it may start with what the followed branch left"
    await pushes.push(FORK, pushes.commit({}))
    assert parsed(pushes) == []
    await pushes.push("eve:patch-1", pushes.commit({}))
    await pushes.push("pr", pushes.commit({}))
    assert parsed(pushes) == ["from a state"] * 2
    await pushes.extract(forked)
    await pushes.push("main", pushes.commit({"README.md": "merged"}))
    assert parsed(pushes) == ["full"], "another one than the full parse of the stranger is carried: that of the side branch"


async def test_a_stranger_leaves_no_state(pushes: Pushes) -> None:
    await pushes.push("main", pushes.commit({}))
    await pushes.push(FORK, pushes.commit({"analyses/x.sql": POISON}))
    for branch in (FORK, "pr", "main"):
        clean = pushes.commit({"analyses/x.sql": f"select '{branch}'"})
        await pushes.push(branch, clean)
        assert await pushes.edges(clean) == RIGHT
    files = {path.name.split(".")[0] for path in (pushes.world.work_dir / "states").rglob("*") if path.is_file()}
    assert len(files) == 2, "of the followed branch and of the side branch"


async def test_a_full_parse_of_a_stranger_is_not_carried_after_the_merge(pushes: Pushes) -> None:
    await pushes.push(FORK, pushes.commit({}))
    await pushes.push("main", pushes.commit({}))
    assert parsed(pushes) == ["full", "full"]


async def test_a_stranger_at_the_followed_head_changes_nothing_of_it(pushes: Pushes) -> None:
    sha = pushes.commit({})
    await pushes.push("main", sha)
    await pushes.push(FORK, sha)
    head = await pushes.store.lineages.head(pushes.world.connection_id)
    assert head is not None
    assert (head.sha, head.branch) == (sha, "main")
    await pushes.push("main", pushes.commit({}))
    assert parsed(pushes) == ["full"], "the lineage is still everybody's"


async def test_a_commit_that_is_pushed_while_a_strangers_container_runs_has_its_own_lineage(pushes: Pushes) -> None:
    """Both run at the same time, and the stranger decides for how long."""
    sha = pushes.commit({"analyses/x.sql": "select 2"})
    await pushes.push("main", sha)
    [made] = await pushes.store._db.rows("SELECT * FROM lineages")
    await pushes.push(FORK, sha, forced=True)
    assert parsed(pushes) == ["full", "full"]
    assert await pushes.store._db.rows("SELECT * FROM lineages") == [made]
    later = pushes.commit({"models/a.sql": "select 3"})
    for _ in range(2):
        await pushes.push(FORK, later, forced=True)
    [again] = await pushes.store._db.rows("SELECT branch, trust FROM lineages WHERE sha = $1", later)
    assert tuple(again) == (FORK, f"fork {FORK} 0"), "what is the stranger's alone is replaced"


async def test_a_commit_of_a_stranger_is_read_with_the_rights_of_a_public_repository(pushes: Pushes) -> None:
    await pushes.push("pr", pushes.commit({}))
    forked = pushes.commit({"models/a.sql": "select 3"})
    await pushes.push(FORK, forked)
    await pushes.extract(forked)
    assert [repository.private for repository in pushes.world.git.opened] == [True, False, False]


async def test_a_commit_of_a_side_branch_that_somebody_requests_runs_for_its_branch(pushes: Pushes) -> None:
    await pushes.push("main", pushes.commit({}))
    poisonous = pushes.commit({"analyses/x.sql": POISON})
    await pushes.push("pr", poisonous)
    assert (await pushes.extract(poisonous)).branch == "pr"
    await pushes.push("main", pushes.commit({"analyses/x.sql": "select 2"}))
    assert await pushes.edges() == RIGHT


async def test_a_requested_commit_that_was_no_head_leaves_no_state(pushes: Pushes) -> None:
    await pushes.push("main", pushes.commit({}))
    poisonous = pushes.commit({"analyses/x.sql": POISON})
    for _ in range(2):
        assert (await pushes.extract(poisonous)).branch == "main", "no branch is known"
    await pushes.push("main", pushes.commit({"analyses/x.sql": "select 2"}))
    assert parsed(pushes) == ["full", "full", "full", "from a state"]
    assert await pushes.edges() == RIGHT
    # Once it is pushed, it is the branch's own.
    await pushes.push("main", poisonous)
    assert await pushes.edges() == WRONG


async def test_an_old_head_that_is_requested_again_runs_for_its_branch(pushes: Pushes) -> None:
    old = pushes.commit({})
    await pushes.push("main", old)
    await pushes.push("main", pushes.commit({"models/a.sql": "select 3"}))
    await pushes.push("branched off", old)
    again = await pushes.extract(old)
    assert again.branch == "main"
    assert parsed(pushes) == ["full", "from a state", "full"]


async def test_a_branch_that_is_followed_for_a_while_is_a_side_branch_afterwards(pushes: Pushes) -> None:
    await pushes.follow("pr")
    await poison(pushes, "pr")
    assert await pushes.edges() == WRONG
    await pushes.follow("main")
    await pushes.push("main", pushes.commit({}))
    assert await pushes.edges() == RIGHT, "neither its lineage nor its state is carried on"
    other = pushes.commit({"models/a.sql": "select 3"})
    await pushes.push("other", other)
    assert await pushes.edges(other) == RIGHT


async def test_a_side_branch_that_becomes_the_followed_one_is_parsed_anew(pushes: Pushes) -> None:
    await pushes.push("main", pushes.commit({}))
    clean = await poison(pushes, "pr")
    await pushes.follow("pr")
    await pushes.push("pr", clean)
    assert await pushes.edges() == RIGHT


async def test_a_lineage_from_a_side_branchs_state_is_not_switched_to(pushes: Pushes) -> None:
    """The branch became the followed one while the extraction ran."""
    await pushes.push("main", pushes.commit({}))
    clean = await poison(pushes, "pr")
    claimed = await pushes.store.extractions.get(await pushes.store.extractions.enqueue(pushes.world.connection_id, "pr", clean, "push"))
    assert claimed is not None
    await pushes.follow("pr")
    await pushes.store.connections.move_head(pushes.world.connection_id, clean)
    known = await pushes.store.lineages.head(pushes.world.connection_id, clean)
    assert known is not None
    async with pushes.store.transaction() as tx:
        assert not (await tx.lineages.carry_forward(claimed, known.id)).switched


async def test_a_branch_that_is_created_again_is_another_branch(pushes: Pushes) -> None:
    await pushes.push("main", pushes.commit({}))
    await poison(pushes, "pr", created_branch=True)
    fresh = pushes.commit({})
    await pushes.push("pr", fresh, created_branch=True)
    assert await pushes.edges(fresh) == RIGHT
    later = pushes.commit({"models/a.sql": "select 4"})
    await pushes.push("pr", later)
    assert await pushes.edges(later) == RIGHT
    assert parsed(pushes)[-1] == "from a state"


async def test_a_side_branch_at_the_followed_head_changes_nothing_of_it(pushes: Pushes) -> None:
    sha = pushes.commit({})
    await pushes.push("main", sha)
    await poison(pushes, "pr")
    extraction_id = await pushes.store.extractions.enqueue(pushes.world.connection_id, "pr", sha, "push")
    claimed = await pushes.store.extractions.claim("another", LEASE)
    assert claimed is not None
    assert (claimed.id, claimed.trust.shared) == (extraction_id, True), "it is parsed without the branch's state"
    await pushes.store.extractions.hand_back(claimed.id, "another")
    await pushes.run(extraction_id)
    assert await pushes.edges() == RIGHT
    head = await pushes.store.lineages.head(pushes.world.connection_id)
    assert head is not None
    assert (head.sha, head.branch) == (sha, "main")


async def test_a_side_branch_does_not_name_the_project_or_hide_the_connection(pushes: Pushes) -> None:
    store, connection_id = pushes.store, pushes.world.connection_id
    await pushes.push("main", pushes.commit({}))
    await pushes.push("pr", pushes.commit({"dbt_project.yml": "name: evil\nversion: '1.0'\nprofile: shop\n"}))
    found = await store.connections.get(connection_id)
    assert found is not None
    assert found.project_name == "shop"
    await store._db.execute("UPDATE connections SET project_dir = NULL")
    side, main = [await store.extractions.enqueue(connection_id, branch, "f" * 40, "push") for branch in ("pr", "main")]
    await store.connections.hide_without_project(connection_id, side)
    assert await store.connections.get(connection_id) is not None, "the followed branch has yet to be looked at"
    await store.connections.hide_without_project(connection_id, main)
    assert await store.connections.get(connection_id) is None


class Moving:
    """A `ports.Installer` of packages that can move."""

    def __init__(self, work_dir: Path) -> None:
        self.work_dir, self.version, self.since = work_dir, "1", [0.0]

    async def identify(self, request: PackageRequest) -> str:
        self.since.append(request.since)
        return self.version

    async def install(self, request: PackageRequest) -> PackageTree:
        assert request.since == self.since[-1]
        return Spool(self.work_dir)


async def test_a_commit_after_a_package_moved_is_parsed_although_its_files_are_known(pushes: Pushes) -> None:
    packages = pushes.world.installer = Moving(pushes.world.work_dir)
    await pushes.push("main", pushes.commit({"packages.yml": "packages:\n  - package: acme/tools\n    version: '>=1.0.0'\n"}))
    first = packages.since[-1]
    await pushes.push("main", pushes.commit({}))
    assert parsed(pushes) == ["full"]
    assert packages.since[-1] > first, "what the package led to before this push is not good enough"
    packages.version = "2"
    await pushes.push("main", pushes.commit({}))
    assert parsed(pushes) == ["from a state"]


async def test_a_strangers_packages_are_not_installed_as_others_are(pushes: Pushes) -> None:
    """With `DBT_DEPS_NETWORK`, `dbt deps` runs in a container that may reach more than the internet."""
    network, fetcher = (Moving(pushes.world.work_dir) for _ in range(2))
    pushes.world.installer, pushes.world.fetcher = network, fetcher
    sha = pushes.commit({"packages.yml": "packages:\n  - package: acme/tools\n    version: '>=1.0.0'\n"})
    await pushes.push(FORK, sha)
    assert (len(network.since), len(fetcher.since)) == (1, 2)
    await pushes.push("main", sha)
    assert (len(network.since), len(fetcher.since)) == (2, 2)


@pytest.mark.containers
async def test_a_poisoned_state_of_the_real_dbt_stays_on_its_branch(pushes: Pushes) -> None:
    """Whoever writes a state with code of their own can put another node into it, which the next parse of that branch uses."""
    async with steps() as container:

        async def real(files: Mapping[str, str], state: bytes | None) -> tuple[bytes, bytes | None]:
            done = await container.parse(files, state)
            assert done.error is None
            assert done.state is not None
            return done.manifest, swapped(done.state) if files["analyses/x.sql"] == POISON else done.state

        cast("Dbts", pushes.world.runner).run = real
        await pushes.push("main", pushes.commit({}))
        await pushes.push("pr", pushes.commit({"analyses/x.sql": POISON}))
        clean = pushes.commit({"analyses/x.sql": "select 2"})
        await pushes.push("pr", clean)
        assert await pushes.edges(clean) == {("model.shop.a", "model.shop.c")}
        await pushes.push("main", pushes.commit({}))
    assert await pushes.edges() == RIGHT


def swapped(state: bytes) -> bytes:
    """A state in which a model refers to `a` instead of `b`."""
    changed = BytesIO()
    with zipfile.ZipFile(BytesIO(state)) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "nodes.pickles":
                at = data.index(b"\x8c\x01b", data.index(b"RefArgs"))
                data = data[:at] + b"\x8c\x01a" + data[at + 3 :]
            new.writestr(name, data)
    return changed.getvalue()
