"""Models of other projects: who gets them, which they are, and what becomes of them in a lineage. The database is real, dbt is scripted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest_asyncio

from app.core.models.extractions import Extraction
from app.core.models.github import Repository
from app.core.models.other_projects import PublicModel
from app.core.spool import Spool
from app.lineage.nodes import Lineage, read_manifest
from app.packages.private import PrivatePackages
from app.pipeline.other_projects import InstallationProjects
from app.pipeline.ports import DbtJob, Parsed
from app.store import Store
from tests.integration import life_world
from tests.integration.life_world import FILES, IMAGE, LOG, REPOSITORY, USAGE, World
from tests.integration.lineage_reader import SHAS, save_lineage
from tests.unit.test_nodes import resource

PRIVATE = Repository(8, "octo/platform", REPOSITORY.installation_id, "main", private=True)
PUBLIC = Repository(9, "octo/open", REPOSITORY.installation_id, "main", private=False)
ELSEWHERE = Repository(10, "other/platform", 71, "main", private=False)
ORDERS = PublicModel("platform", "orders", relation_name="lake.core.orders")


def node(name: str, access: str = "public", project: str = "platform", **more: Any) -> dict[str, Any]:
    version = f".v{more['version']}" if "version" in more else ""
    found = resource(
        f"model.{project}.{name}{version}", access=access, original_file_path=f"models/{name}.sql", raw_code="select 1", **more
    )
    return {**found, "name": name}


def lineage_of(*nodes: dict[str, Any], project: str = "platform", parents: dict[str, list[str]] | None = None) -> Lineage:
    metadata = {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json", "project_name": project, "adapter_type": "duckdb"}
    document = {"metadata": metadata, "nodes": {one["unique_id"]: one for one in nodes}, "parent_map": parents or {}}
    return read_manifest(json.dumps(document).encode(), "", "")


async def project(store: Store, repository: Repository, *nodes: dict[str, Any], name: str = "platform", directory: str = "") -> str:
    """Install a project, whose lineage has these nodes."""
    await store.installations.update_from_push(repository)
    connection = await store.connections.create(repository.id, directory)
    await store.connections.move_head(connection.id, SHAS[1])
    await save_lineage(store, connection.id, SHAS[1], lineage_of(*nodes, project=name))
    return connection.id


async def found(store: Store, asking: Repository = REPOSITORY, rules: tuple[str, ...] = ("installation",)) -> Any:
    [one] = await InstallationProjects(store, PrivatePackages(rules)).find(["platform"], asking, "")
    return one.state, [(model.name, model.version, model.latest_version) for model in one.models]


async def test_public_models_of_the_newest_lineage_are_found(store: Store) -> None:
    versions = [node("v", version=number, latest_version=2) for number in (1, 2)]
    others = [node("inner", "protected"), node("days", project="utils"), node("hidden", "private")]
    await project(store, PRIVATE, node("orders", relation_name="lake.core.orders"), *versions, *others)
    assert await found(store) == ("available", [("orders", None, None), ("v", 1, 2), ("v", 2, 2)])
    [one] = await InstallationProjects(store).find(["platform"], REPOSITORY, "")
    assert one.models[0] == ORDERS


async def test_nobody_learns_of_a_private_project_that_may_not_be_used(store: Store) -> None:
    """What is not allowed looks like what does not exist, also where it would make a name ambiguous."""
    nothing = await found(store)
    await project(store, PRIVATE, node("orders"))
    public, none = replace(REPOSITORY, private=False), ("none",)
    assert nothing == ("unknown", []) == await found(store, public) == await found(store, rules=none)
    assert nothing == await found(store, REPOSITORY.as_public()), "a pull request from a fork"
    await project(store, PUBLIC, node("customers"))
    for state in (await found(store, public), await found(store, rules=none), await found(store, REPOSITORY.as_public())):
        assert state == ("available", [("customers", None, None)])
    assert await found(store) == ("ambiguous", [])
    assert await found(store, public, ("octo/plat*",)) == ("ambiguous", [])


async def test_other_installations_and_removed_projects_are_not_found(store: Store) -> None:
    await project(store, ELSEWHERE, node("orders"))
    assert await found(store) == ("unknown", [])
    connection = await project(store, PRIVATE, node("orders"))
    await store.connections.hide(connection)
    assert await found(store) == ("unknown", [])


@pytest_asyncio.fixture
async def world(store: Store, dsn: str, tmp_path: Path) -> AsyncIterator[World]:
    """A project that reads a model of another one, and a dbt that adds the models of its job as dbt does."""
    files = {**FILES, "dependencies.yml": "projects: [{name: platform}]\n"}
    for name, text in files.items():
        (tmp_path / "repository" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "repository" / name).write_text(text)
    made = await life_world.make_world(store, dsn, tmp_path)

    async def dbt(job: DbtJob) -> Parsed:
        external = [
            resource(f"model.{one.project}.{one.name}", access="public", raw_code="", relation_name=one.relation_name)
            for one in job.external_nodes
        ]
        nodes = [node("a", "protected", "shop"), *external]
        reads = [one["unique_id"] for one in external if one["name"] == "orders"]
        manifest = {
            "metadata": {"project_name": "shop", "dbt_version": "1.11.16"},
            "nodes": {one["unique_id"]: one for one in nodes},
            "parent_map": {"model.shop.a": reads},
        }
        spool = Spool(made.work_dir)
        await spool.write(json.dumps(manifest).encode())
        await spool.flush()
        return Parsed(spool, LOG, USAGE, IMAGE.name)

    made.runner.dbt = dbt
    made.projects = InstallationProjects(store)
    yield made


async def extracted(world: World) -> Extraction:
    """Extract the commit as after a push: what is known may be carried forward."""
    async with world.working():
        done = await world.ended(await world.store.extractions.enqueue(world.connection_id, "main", world.sha, "push"))
    assert done.problem is None
    return done


async def test_models_that_are_read_are_external_nodes_of_the_lineage_and_count_nowhere(store: Store, world: World) -> None:
    await project(store, PRIVATE, node("orders", relation_name="lake.core.orders"), node("unread"))
    done = await extracted(world)
    assert (done.result["counts"], done.result["nodes"], done.result["edges"]) == ({"model": 1}, 2, 1)
    assert "Read from other projects: 1 model of `platform`." in " ".join(done.result["notes"])
    assert "octo/platform" not in json.dumps(done.result), "readers of this repository may not know that one"
    head = await store.lineages.head(world.connection_id)
    assert head is not None
    stored = await store.lineages.node(head, "model.platform.orders")
    assert stored is not None
    content = json.loads(stored.content)
    assert (content["external_node"], content["relation_name"], content["original_file_path"]) == (True, "lake.core.orders", "")
    assert await store.lineages.node(head, "model.platform.unread") is None
    own = await store.lineages.node(head, "model.shop.a")
    assert own is not None
    assert "external_node" not in json.loads(own.content)
    while await store.search_index.update(world.connection_id):
        pass
    words = await store._db.rows("SELECT word FROM search_words WHERE connection_id::text = $1 AND size > 0", world.connection_id)
    assert {row["word"] for row in words if "orders" in row["word"]} == set()


async def test_a_lineage_is_carried_forward_only_while_the_other_project_has_the_same_models(store: Store, world: World) -> None:
    connection = await project(store, PRIVATE, node("orders"))
    await extracted(world)
    assert (await extracted(world)).result["carried_from"] == world.sha
    await store.connections.move_head(connection, SHAS[3])
    await save_lineage(store, connection, SHAS[3], lineage_of(node("orders", relation_name="lake.moved.orders")))
    assert "carried_from" not in (await extracted(world)).result


async def test_a_lineage_in_memory_and_one_in_a_file_know_the_same_external_nodes(tmp_path: Path) -> None:
    external = resource("model.platform.orders", access="public")
    unread = resource("model.platform.unread", access="public")
    made = lineage_of(node("a", "protected", "shop"), external, unread, project="shop", parents={"model.shop.a": ["model.platform.orders"]})
    assert (made.external, made.counts(), made.node_count) == (frozenset({"model.platform.orders"}), {"model": 1}, 2)
