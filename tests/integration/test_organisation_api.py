"""`GET /api/metadata/graph`: the projects of an owner as one graph, of which everybody sees what GitHub would show them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from app.core.models.github import Repository
from app.lineage.nodes import Lineage
from app.store import Store
from app.web.api import organisation_reading
from tests.double import Repository as Hosted
from tests.integration import access_world, search_world
from tests.integration.access_world import SERVICE, World
from tests.integration.readers_world import ORDERS, POSTGRES, TABLE, Readers, made, make_readers
from tests.unit.test_nodes import build, resource

GRAPH = "/api/metadata/graph?owner=octo"
SHOP, SOURCE, REVENUE = f"octo/shop:{ORDERS}", "octo/bi:source.bi.raw.orders", "octo/bi:model.bi.revenue"
HIDDEN = ("secret", "payroll")


@dataclass
class Octo:
    """Repositories of `octo`: `shop`, whose table `bi` reads, and more. All are private."""

    world: World
    connections: Readers
    hosted: dict[str, Hosted]

    async def add(self, name: str, lineage: Lineage) -> None:
        """Follow a new repository."""
        await self.connections.add(await host(self.world, name, self.hosted), lineage)

    def token(self, login: str, *names: str) -> str:
        """A token that sees some of the repositories."""
        return self.world.github.classic_token(login, {self.hosted[name]: "pull" for name in names})

    async def ask(self, query: str = "", token: str = SERVICE) -> Any:
        """The graph."""
        status, body, _ = await self.world.ask(token, GRAPH + query)
        assert status == 200, body
        return body

    async def text(self, query: str, token: str = SERVICE) -> tuple[str, str]:
        """The same as text, and its ETag."""
        async with self.world.client.get(GRAPH + query, headers={"Authorization": f"Bearer {token}"}) as response:
            assert response.status == 200, await response.text()
            return await response.text(), response.headers["ETag"]


@pytest_asyncio.fixture
async def octo(store: Store) -> AsyncIterator[Octo]:
    hosted: dict[str, Hosted] = {}
    async with access_world.running(store) as world:
        found = Octo(world, await make_readers(store, project("shop"), repository=await host(world, "shop", hosted)), hosted)
        await found.add("bi", project("bi", reads=TABLE))
        yield found


async def host(world: World, name: str, hosted: dict[str, Hosted]) -> Repository:
    one = hosted[name] = await world.github.create_repository(f"octo/{name}", dict(access_world.FILES), private=True)
    return Repository(one.id, one.full_name, world.installation_id, "main", one.private)


def project(name: str, *, makes: str | None = None, reads: str | None = None, packages: Sequence[str] = ()) -> Lineage:
    """A project that makes `TABLE` as `orders`, or reads a table, and has nodes of packages."""
    found = {} if reads else {f"model.{name}.orders": (makes or TABLE, list[str]())}
    sources, parents = {}, dict[str, list[str]]()
    if reads:
        source, model, board = f"source.{name}.raw.orders", f"model.{name}.revenue", f"exposure.{name}.board"
        sources[source] = resource(source, source_name="raw", relation_name=reads, original_file_path="models/sources.yml")
        found[model] = (f'"db"."{name}"."revenue"' if makes is None else makes, [source, *packages])
        parents[board] = [model]
    found |= {one: (f'"db"."{name}"."{one}"', []) for one in packages}
    parents |= {one: above for one, (_, above) in found.items()}
    return build(
        *(resource(one, **made(relation, original_file_path=path(one))) for one, (relation, _) in found.items()),
        parents=parents,
        sources=sources,
        exposures={
            one: resource(one, type="dashboard", original_file_path="models/boards.yml") for one in parents if one.startswith("exp")
        },
        metadata={**POSTGRES["metadata"], "project_name": name},
    )


def path(unique_id: str) -> str:
    return f"models/{unique_id.rpartition('.')[2]}.sql"


def ids(body: Mapping[str, Any]) -> set[str]:
    return {one["id"] for one in body["nodes"]}


def edges(body: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(one["upstream"], one["downstream"]) for one in body["edges"]}


async def test_nobody_learns_of_a_repository_that_github_would_not_show(octo: Octo) -> None:
    """Neither a name nor a number, nor whether anything changes there: answers are those of a world without it."""
    stranger = octo.token("mona", "shop", "bi")
    queries = ("", f"&focus={SOURCE}", f"&focus={ORDERS}", "&format=csv", "&format=openlineage", f"&focus=%2B{REVENUE}&format=dot")

    before = [await octo.text(query, stranger) for query in queries]
    assert SHOP in before[0][0]
    # It makes the same table, and it reads one, and has `shop` as a package.
    await octo.add("secret", project("payroll", makes=TABLE, reads='"db"."bi"."revenue"', packages=[ORDERS]))
    assert [await octo.text(query, stranger) for query in queries] == before
    assert not [name for name in HIDDEN if name in json.dumps(before)]
    for name in (f"octo/secret:{ORDERS}", "model.payroll.revenue", "octo/nowhere:model.a.b", "model.nobody.orders"):
        status, body, _ = await octo.world.ask(stranger, f"{GRAPH}&focus={name}")
        assert (status, body["detail"]) == (
            404,
            "`focus`: no node of this owner's projects that the token may read has this `id`, `unique_id` or name.",
        )
    member = await octo.ask(token=octo.token("lisa", "shop", "bi", "secret"))
    assert "octo/secret:model.payroll.revenue" in ids(member)
    assert not any(one["certain"] for one in member["joins"] if one["downstream"] == SOURCE)


async def test_an_owner_of_whom_nothing_may_be_read_is_nobody(octo: Octo) -> None:
    blind = octo.world.github.classic_token("mallory", {})
    answers = [await octo.world.ask(blind, f"/api/metadata/graph?owner={owner}") for owner in ("octo", "nobody")]
    assert [(status, body) for status, body, _ in answers] == [(404, answers[0][1])] * 2


async def test_what_was_visible_is_not_when_the_right_is_gone(octo: Octo) -> None:
    etags = []
    for token in (octo.token("lisa", "shop", "bi"), octo.token("mona", "shop")):
        status, body, headers = await octo.world.ask(token, GRAPH)
        assert status == 200
        etags.append(headers["ETag"])
    assert etags[0] != etags[1]
    assert ids(body) == {SHOP}
    assert body["joins"] == []
    async with octo.world.client.get(GRAPH, headers={"Authorization": f"Bearer {token}", "If-None-Match": etags[1]}) as response:
        assert response.status == 304


async def test_projects_are_joined_where_one_reads_what_another_makes(octo: Octo) -> None:
    body = await octo.ask()
    assert edges(body) == {(SHOP, SOURCE), (SOURCE, REVENUE), (REVENUE, "octo/bi:exposure.bi.board")}
    [join] = body["joins"]
    assert (join["upstream"], join["downstream"], join["reason"], join["certain"]) == (SHOP, SOURCE, "relation", True)
    assert [(one["repository"], one["branch"], one["project_name"]) for one in body["connections"]] == [
        ("octo/bi", "main", "bi"),
        ("octo/shop", "main", "shop"),
    ]
    assert {one["repository"] for one in body["nodes"]} == {"octo/bi", "octo/shop"}
    assert body["left_out"] == {"connections": 0, "nodes": False, "joins": 0}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"focus={SOURCE}&direction=upstream", {SHOP, SOURCE}),
        (f"focus={SHOP}&direction=downstream&depth=1", {SHOP, SOURCE}),
        (f"focus={SHOP}&depth=2", {SHOP, SOURCE, REVENUE}),
        (f"focus={ORDERS}%2B2", {SHOP, SOURCE, REVENUE}),
        (f"focus=%2B{REVENUE}", {SHOP, SOURCE, REVENUE}),
        (f"focus=@{SOURCE}", {SHOP, SOURCE, REVENUE, "octo/bi:exposure.bi.board"}),
        ("focus=revenue&direction=upstream&resource_type=model", {SHOP, REVENUE}),
        ("focus=exposure.bi.board&depth=0", {"octo/bi:exposure.bi.board"}),
        ("focus=OCTO/bi:source.bi.raw.orders&depth=0", {SOURCE}),
    ],
)
async def test_a_focus_leads_into_other_projects(octo: Octo, query: str, found: set[str]) -> None:
    await search_world.catch_up(octo.world.store)
    assert ids(await octo.ask(f"&{query}")) == found


async def test_a_focus_reads_only_the_projects_that_it_reaches(octo: Octo, monkeypatch: pytest.MonkeyPatch) -> None:
    await octo.add("other", project("other", reads='"db"."else"."orders"'))
    await octo.add("board", project("board", reads='"db"."bi"."revenue"'))
    body = await octo.ask(f"&focus={SHOP}")
    assert {one["repository"] for one in body["connections"]} == {"octo/shop", "octo/bi", "octo/board"}
    assert "octo/board:model.board.revenue" in ids(body)
    assert {one["repository"] for one in (await octo.ask(f"&focus={SHOP}&depth=2"))["connections"]} == {"octo/shop", "octo/bi"}
    monkeypatch.setattr(organisation_reading, "MAX_PROJECTS", 2)
    body = await octo.ask(f"&focus={SHOP}")
    assert (len(body["connections"]), body["left_out"]["connections"]) == (2, 1)
    monkeypatch.setattr(organisation_reading, "MAX_BYTES", 1)
    body = await octo.ask(f"&focus={SHOP}")
    assert (len(body["connections"]), body["left_out"]["connections"]) == (1, 1)


async def test_a_large_owner_is_cut_and_says_so(octo: Octo, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is certain is so among everything that the caller may read, in the graph or not."""
    await octo.add("copy", project("shop"))
    monkeypatch.setattr(organisation_reading, "MAX_NODES", 4)
    body = await octo.ask()
    assert {one["repository"] for one in body["connections"]} == {"octo/bi", "octo/copy"}
    assert body["left_out"]["connections"] == 1
    assert [one["certain"] for one in body["joins"]] == [False]


async def test_several_branches_of_a_project_count_once(octo: Octo) -> None:
    connections, store = octo.connections, octo.world.store
    other = await store.connections.create(octo.hosted["shop"].id, "", branch="dev")
    await connections.save(other.id, "d" * 40, project("shop"), branch="dev")
    async with store.transaction() as tx:
        await tx._db.execute("UPDATE connections SET lineage_id = (SELECT max(id) FROM lineages) WHERE id = $1::text::uuid", other.id)
    body = await octo.ask()
    assert [one["certain"] for one in body["joins"]] == [True]
    [shop] = [one for one in body["connections"] if one["repository"] == "octo/shop"]
    assert (shop["connection_id"], shop["branch"], shop["other_branches"]) == (connections.shop, "main", ["dev"])


async def test_a_package_that_is_a_project_counts_once(octo: Octo) -> None:
    await octo.add("app", project("app", reads='"db"."x"."y"', packages=[ORDERS]))
    body = await octo.ask(f"&focus={ORDERS}")
    assert (SHOP, "octo/app:model.app.revenue") in edges(body)
    assert f"octo/app:{ORDERS}" not in ids(body)
    assert {(one["reason"], one["merged"]) for one in body["joins"] if one["downstream"] == f"octo/app:{ORDERS}"} == {("package", True)}


async def test_a_push_moves_the_joins_with_it(octo: Octo) -> None:
    connections, sales = octo.connections, '"db"."prod"."sales"'
    await connections.save(connections.shop, "e" * 40, project("shop", makes=sales))
    assert (await octo.ask())["joins"] == []
    assert ids(await octo.ask(f"&focus={SOURCE}&direction=upstream")) == {SOURCE}
    await connections.save(connections.others["octo/bi"], "f" * 40, project("bi", reads=sales))
    assert ids(await octo.ask(f"&focus={SOURCE}&direction=upstream")) == {SHOP, SOURCE}


@pytest.mark.parametrize(
    ("name", "text"), [("csv", f'"{SHOP}","{SOURCE}"'), ("dot", f'"{SHOP}" -> "{SOURCE}"'), ("mermaid", "-->"), ("graphml", SHOP)]
)
async def test_every_format_of_a_lineage(octo: Octo, name: str, text: str) -> None:
    assert text in (await octo.text(f"&format={name}"))[0]


async def test_openlineage_joins_by_the_names_of_tables_and_describes_each_once(octo: Octo) -> None:
    await octo.add("app", project("app", reads='"db"."prod"."ORDERS"', packages=[ORDERS]))
    events = await octo.ask("&format=openlineage&namespace=postgres://db:5432")
    assert not [one for one in events if "run" in one]
    jobs = [one for one in events if "job" in one]
    by_job = {one["job"]["name"]: one for one in jobs}
    assert len(by_job) == len(jobs)
    assert "db.app.shop.orders" in by_job, "who installs a package builds its tables"
    [output] = by_job["db.prod.shop.orders"]["outputs"]
    [read] = by_job["db.bi.bi.revenue"]["inputs"]
    assert (output["namespace"], output["name"]) == (read["namespace"], read["name"]) == ("postgres://db:5432", "db.prod.orders")
    told = [one["name"] for event in jobs for one in event["outputs"]] + [one["dataset"]["name"] for one in events if "dataset" in one]
    assert sorted(told) == sorted(set(told))
    assert [one["dataset"]["name"] for one in events if "dataset" in one] == ["db.prod.ORDERS"], "a table in other case is another one"
    other = await octo.ask("&format=openlineage&namespace=snowflake://acme-prod")
    assert {one["namespace"] for event in other for one in event.get("outputs", [])} == {"postgres"}, "not a Snowflake's"


async def test_a_node_that_several_projects_have_is_ambiguous(octo: Octo) -> None:
    await octo.add("copy", project("shop"))
    status, body, _ = await octo.world.ask(SERVICE, f"{GRAPH}&focus={ORDERS}")
    assert (status, body["candidates"]) == (400, [f"octo/copy:{ORDERS}", SHOP])


async def test_the_joins_of_a_node_are_those_that_the_caller_may_see(octo: Octo) -> None:
    await octo.add("secret", project("payroll", reads=TABLE, packages=[ORDERS]))
    shop, bi = octo.connections.shop, octo.connections.others["octo/bi"]

    async def joins(connection_id: str, node: str, token: str) -> tuple[list[tuple[str, str, bool]], ...]:
        status, body, _ = await octo.world.ask(token, f"{access_world.CONNECTIONS}/{connection_id}/nodes/{node}/joins")
        assert status == 200, body
        assert body["projects"] == len({one["repository"] for one in body["read_by"]})
        return tuple([(one["repository"], one["reason"], one["certain"]) for one in body[name]] for name in ("made_by", "read_by"))

    member, stranger = octo.token("lisa", "shop", "bi", "secret"), octo.token("mona", "shop", "bi")
    both = [("octo/bi", "relation", True), ("octo/secret", "package", True), ("octo/secret", "relation", True)]
    assert await joins(shop, ORDERS, member) == ([], both)
    assert await joins(shop, ORDERS, stranger) == ([], both[:1])
    assert await joins(octo.connections.others["octo/secret"], ORDERS, member) == ([("octo/shop", "package", True)], [])
    assert await joins(bi, SOURCE.partition(":")[2], stranger) == ([("octo/shop", "relation", True)], [])
    assert await joins(bi, SOURCE.partition(":")[2], octo.token("ben", "bi")) == ([], [])
    assert (await octo.world.ask(octo.token("eve", "bi"), f"{access_world.CONNECTIONS}/{shop}/nodes/{ORDERS}/joins"))[0] == 404
