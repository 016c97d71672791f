"""Projects that read each other's tables, or have each other as packages, as one graph."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from app.lineage.graph import GraphFilter
from app.lineage.organisation.composing import OrganisationGraph
from app.lineage.organisation.join_rules import Made, Owned
from app.lineage.organisation.joining import MAX_ALIKE, OtherCandidates, join
from app.lineage.organisation.joins import Join
from app.lineage.organisation.projects import JoinedProject, JoinFacts
from app.lineage.organisation.walking import Walk
from tests.unit.organisations import generated, project

TABLE = '"db"."prod"."orders"'
ORDERS, SOURCE, REVENUE = "model.shop.orders", "source.bi.raw.orders", "model.bi.revenue"


def shop(relation: str | None = TABLE, repository: str = "acme/shop", *, adapter_type: str = "postgres", **told: object) -> JoinedProject:
    nodes = {ORDERS: [], "model.shop.daily": [ORDERS]}
    return project(repository, nodes, {ORDERS: {"relation_name": relation, **told}}, name="shop", adapter_type=adapter_type)


def bi(relation: str | None = TABLE, *, adapter_type: str = "postgres") -> JoinedProject:
    return project("acme/bi", {SOURCE: [], REVENUE: [SOURCE]}, {SOURCE: {"relation_name": relation}}, adapter_type=adapter_type)


def with_package(*, path: str = "models/orders.sql", name: str = "bi") -> JoinedProject:
    """A project with `shop` as a package, or that refers to it (no path)."""
    nodes = {REVENUE: [ORDERS], ORDERS: ["model.shop.gone", f"seed.{name}.rates"], "model.shop.gone": [], f"seed.{name}.rates": []}
    return project(f"acme/{name}", nodes, {ORDERS: {"original_file_path": path, "relation_name": TABLE}}, name=name)


def composed(*projects: JoinedProject) -> OrganisationGraph:
    return OrganisationGraph(projects, [range(len(one.graph.nodes)) for one in projects], join(projects))


def edges(graph: OrganisationGraph) -> set[tuple[str, str]]:
    chosen = graph.select(GraphFilter())
    return {(graph.nodes[one].unique_id, graph.nodes[other].unique_id) for one, other in chosen.pairs()}


@pytest.mark.parametrize("seed", range(2))
def test_the_joins_of_a_generated_organisation_are_those_that_are_true(seed: int) -> None:
    """200 projects: at least 99 % of what is found is true, and of what is true is found. Ambiguous ones are never certain."""
    truth = generated(seed)
    found = join(truth.projects).found
    certain = {(one.upstream, one.downstream) for one in found if one.certain}
    possible = {(one.upstream, one.downstream) for one in found if not one.certain}
    assert len(truth.certain) > 1000
    assert len(truth.ambiguous) > 20
    for got, true in ((certain, truth.certain), (possible, truth.ambiguous)):
        assert len(got & true) >= 0.99 * len(got)
        assert len(got & true) >= 0.99 * len(true)


def test_a_source_that_is_a_table_of_another_project_is_joined() -> None:
    found = join([bi(), shop()])
    [one] = found.found
    assert one == Join(f"acme/shop:{ORDERS}", f"acme/bi:{SOURCE}", "relation", certain=True, detail=one.detail)
    assert (f"acme/shop:{ORDERS}", f"acme/bi:{SOURCE}") in edges(composed(bi(), shop()))


@pytest.mark.parametrize("relation", [None, '"prod"."orders"', '"db"."prod"."Orders"', "(select 1)"])
def test_other_names_and_unknown_ones_are_not_joined(relation: str | None) -> None:
    assert join([bi(relation), shop()]).found == []
    assert join([bi(relation), shop(None)]).found == []


def test_what_makes_no_table_is_not_joined() -> None:
    assert join([bi(), shop(materialized="ephemeral")]).found == []
    foreign = shop(original_file_path="", repository="acme/loom")
    assert join([bi(), JoinedProject(replace(foreign.key, name="loom"), foreign.graph)]).found == []


def test_a_table_that_two_projects_make_is_of_none_for_certain() -> None:
    found = join([shop(), bi(), shop(repository="acme/copy")]).found
    assert [(one.upstream, one.certain, one.detail) for one in found] == [
        (f"acme/{name}:{ORDERS}", False, "2 nodes make a table of this name") for name in ("copy", "shop")
    ]
    other = OtherCandidates([Made(f"acme/copy:{ORDERS}", TABLE, "postgres")])
    assert [one.certain for one in join([shop(), bi()], others=other).found] == [False]
    own = project("acme/bi", {SOURCE: [], REVENUE: []}, {SOURCE: {"relation_name": TABLE}, REVENUE: {"relation_name": TABLE}})
    assert [one.certain for one in join([shop(), own]).found] == [False]


@pytest.mark.parametrize(("mine", "theirs"), [("duckdb", "duckdb"), ("postgres", "redshift")])
def test_names_of_files_and_of_other_warehouses_are_not_certain(mine: str, theirs: str) -> None:
    [one] = join([shop(adapter_type=mine), bi(adapter_type=theirs)]).found
    assert not one.certain


@pytest.mark.parametrize(("path", "access", "reason"), [("models/orders.sql", "protected", "package"), ("", "public", "reference")])
def test_nodes_of_a_package_that_is_another_project_count_once(path: str, access: str, reason: str) -> None:
    graph = composed(with_package(path=path), shop(access=access))
    [one] = graph.joins
    assert (one.reason, one.certain, one.merged) == (reason, True, True)
    names = [node.unique_id for node in graph.nodes]
    assert f"acme/bi:{ORDERS}" not in names
    assert "acme/bi:model.shop.gone" in names  # the project does not have it any more
    shared = f"acme/shop:{ORDERS}"
    assert edges(graph) == {
        (shared, "acme/shop:model.shop.daily"),
        (shared, f"acme/bi:{REVENUE}"),
        ("acme/bi:seed.bi.rates", shared),  # a dependency that only this project gives the package
    }
    [position] = graph.find(ORDERS)
    assert orjson.loads(graph.nodes[position].content)["repository"] == "acme/shop"


@pytest.mark.parametrize(("path", "access"), [("models/other.sql", "public"), ("", "protected"), ("", None)])
def test_a_package_that_only_has_the_name_and_a_model_that_is_not_public_are_not_certain(path: str, access: str | None) -> None:
    graph = composed(with_package(path=path), shop(access=access))
    [one] = graph.joins
    assert (one.certain, one.merged) == (False, False)
    assert (f"acme/shop:{ORDERS}", f"acme/bi:{ORDERS}") in edges(graph)


def test_a_package_that_can_be_two_projects_stays_by_itself() -> None:
    graph = composed(with_package(), shop(), shop(repository="acme/copy"))
    assert {(one.upstream, one.certain) for one in graph.joins if one.reason == "package"} == {
        (f"acme/copy:{ORDERS}", False),
        (f"acme/shop:{ORDERS}", False),
    }
    known = OtherCandidates(owned={ORDERS: [Owned("acme/copy:x", JoinFacts(original_file_path="models/orders.sql"))]})
    assert not any(one.certain for one in join([with_package(), shop()], others=known).found)


def test_a_table_of_a_package_is_one_of_its_project() -> None:
    """Who installs a package builds its tables, too: those who read them read the one node."""
    reader = project("acme/board", {"source.board.raw.orders": []}, {"source.board.raw.orders": {"relation_name": TABLE}})
    graph = composed(with_package(), shop('"db"."other"."orders"'), reader)
    assert (f"acme/shop:{ORDERS}", "acme/board:source.board.raw.orders") in edges(graph)


def test_packages_that_nobody_has_as_a_project_stay_apart() -> None:
    one, other = (project(f"acme/{name}", {"model.dbt_utils.dates": []}) for name in ("a", "b"))
    assert len(composed(one, other).nodes) == 2


def test_cycles_across_projects_end() -> None:
    told = {SOURCE: {"relation_name": '"db"."a"."x"'}, REVENUE: {"relation_name": '"db"."b"."x"'}}
    back = {"source.shop.raw.x": {"relation_name": '"db"."b"."x"'}, ORDERS: {"relation_name": '"db"."a"."x"'}}
    ring = composed(
        project("acme/bi", {SOURCE: [], REVENUE: [SOURCE]}, told),
        project("acme/shop", {"source.shop.raw.x": [], ORDERS: ["source.shop.raw.x"]}, back),
    )
    start = ring.find(REVENUE)
    assert len(ring.around(start, GraphFilter())) == 4


def test_tables_of_one_name_are_compared_a_limited_number_of_times() -> None:
    makers = [shop(repository=f"acme/p{number:03}") for number in range(MAX_ALIKE + 5)]
    found = join([*makers, bi()])
    assert (len(found.found), found.left_out) == (10, MAX_ALIKE - 10)
    assert not any(one.certain for one in found.found)


def test_a_walk_goes_no_further_than_it_is_asked_to() -> None:
    graphs = {one: shop().graph for one in "ab"}
    walk = Walk("downstream", 1, {"a": [0]})
    walk.enter("b", [0], at_once=True)
    assert sorted(walk.nodes()) == [("a", 0), ("b", 0)]
    assert walk.step(graphs)
    assert walk.reached == {"a": {0, 1}, "b": {0, 1}}
    assert not walk.step(graphs)


def test_a_walk_without_an_end_ends_where_it_began() -> None:
    graphs = {one: shop().graph for one in "ab"}
    walk = Walk("downstream", None, {"a": [0]})
    while walk.level:
        walk.enter("b" if "a" in walk.level else "a", [0])
        walk.step(graphs)
    assert walk.reached == {"a": {0, 1}, "b": {0, 1}}
