"""Advice that follows from what the commit has: other projects, package lists, similar names."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.core.models.other_projects import OtherProject, ProjectState, PublicModel
from app.project.other_projects import named_projects
from app.project.read_files import Member
from app.reports.locations import Explanation, explain
from app.reports.similar_names import MAX_COMPARED, MAX_LENGTH, most_similar
from tests.unit.test_locations import layout

MESH = b"projects:\n  - name: platform\n  - name: crm\n"


def missing(reference: str) -> str:
    return f"Compilation Error\n  Model 'model.shop.orders' (models/orders.sql) depends on a node named {reference} which was not found"


def explained(output: str, names: tuple[str, ...] = ("stg_orders",), others: tuple[OtherProject, ...] = (), **texts: Any) -> Explanation:
    files = {f"t/{name}.yml": text for name, text in texts.items()}
    more: dict[str, Any] = {"package_texts": files, "other_projects": others or tuple(map(OtherProject, named_projects("t", files)))}
    members = (Member("t/models/orders.sql", "0", 1), *(Member(f"t/models/{name}.sql", "0", 1) for name in names))
    return explain(output, layout(members=members, **more))


def test_a_reference_to_another_project_is_explained_as_one() -> None:
    for reference in ("'orders' in package or project 'platform'", "'orders' with version '2' in package or project 'platform'"):
        found = explained(missing(reference), dependencies=MESH)
        assert found.title == "ref() points to another dbt project"
        assert found.next_step.startswith(
            "dbt-core does not resolve references to other projects such as `platform`. Freshet's GitHub App does"
        )
        assert "Or list that project in `packages.yml`" in found.next_step
        assert found.place == ("t/models/orders.sql", None)
        assert found.annotations[0].title == found.title


@pytest.mark.parametrize(
    ("state", "models", "says"),
    [
        (
            "unknown",
            (),
            "has no lineage of `platform` that this repository may use. Install the GitHub App on the repository of `platform`",
        ),
        ("ambiguous", (), "Several projects that this repository may use have the name `platform`"),
        (
            "available",
            (),
            "The newest lineage of `platform` has no public model `orders`. Correct the names in `ref()`; or set `access: public`",
        ),
        ("available", (PublicModel("platform", "orders", 1, 1),), "`platform` has no public version `2` of `orders`"),
        (
            "available",
            (PublicModel("platform", "orders", 2, 2),),
            "dbt 1.6 is the first version that can refer to models of other projects",
        ),
    ],
)
def test_why_a_model_of_another_project_is_missing(state: ProjectState, models: tuple[PublicModel, ...], says: str) -> None:
    others = (OtherProject("platform", state, models),)
    found = explained(missing("'orders' with version '2' in package or project 'platform'"), others=others)
    assert (found.title, says in found.next_step) == ("ref() points to another dbt project", True)


def test_a_reference_to_something_that_is_not_installed_says_so() -> None:
    found = explained(missing("'orders' in package or project 'platform'"))
    assert "`platform` is no installed package that has a model `orders`" in found.next_step


def test_without_a_package_the_other_projects_are_named() -> None:
    assert "A model of another project (`platform`, `crm`) needs" in explained(missing("'customers'"), dependencies=MESH).next_step
    assert "platform" not in explained(missing("'stg_order'"), dependencies=MESH).next_step


def test_a_version_that_a_model_does_not_have_is_named() -> None:
    found = explained(missing("'orders' with version '3'"))
    assert found.next_step.startswith("The model `orders` has no version `3`.")
    found = explained(missing("'payments' with version '3'"), names=("payments_v1", "payments_v2"))
    assert found.next_step.startswith("The model `payments` has no version `3`.")


def test_a_missing_time_spine_is_no_fault_of_the_file_that_dbt_was_at() -> None:
    found = explained("Parsing Error\n  The semantic layer requires a time spine model\n\nThis was in models/orders.sql")
    assert (found.title, found.place) == ("The project has no time spine", None)
    assert "models/orders.sql" not in found.output


def test_a_similar_name_is_suggested() -> None:
    assert explained(missing("'stg_order'")).next_step.startswith("Did you mean `stg_orders`? Correct the name in `ref()`")
    assert "Did you mean" not in explained(missing("'customers'")).next_step


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("stg_order", "stg_orders"),
        ("ordres", "orders"),
        ("Orders", "orders"),
        ("a", None),
        ("shipments", None),
        ("stg_ordersss", "stg_orders"),
    ],
)
def test_the_most_similar_name(name: str, found: str | None) -> None:
    assert most_similar(name, ["stg_orders", "orders", "customers"]) == found


def test_equally_similar_names_are_not_guessed_between() -> None:
    assert most_similar("order_x", ["order_a", "order_b"]) is None


def test_similar_names_are_found_in_bounded_time_whatever_the_names() -> None:
    names = [f"{number:05}{'a' * MAX_LENGTH}"[:MAX_LENGTH] for number in range(4 * MAX_COMPARED)]
    errors = "".join(missing(f"'{number:05}{'a' * (MAX_LENGTH - 6)}b'") + "\n" for number in range(12))
    before = time.process_time()
    explained(errors, tuple(names))
    assert time.process_time() - before < 5


@pytest.mark.parametrize("name", ["packages", "dependencies"])
@pytest.mark.parametrize("value", ["", " dbt_utils", " {package: a/b}"])
def test_a_package_list_that_is_no_list_is_found_although_dbt_blames_another_file(name: str, value: str) -> None:
    output = "TypeError: object of type 'NoneType' has no len()\n\nThis was in t/dbt_project.yml"
    texts: dict[str, Any] = {name: f"# none\npackages:{value}\n".encode()}
    found = explained(output, **texts)
    assert (found.title, found.place) == ("A package list is not a list", (f"t/{name}.yml", 2))
    assert (
        found.next_step == f"`packages:` in `t/{name}.yml` is not a list. Write `packages: []`, or remove the key if the project has none."
    )
    assert [(one.path, one.line) for one in found.annotations] == [(f"t/{name}.yml", 2)]
    assert found.output == "TypeError: object of type 'NoneType' has no len()"


def test_a_list_at_the_top_of_a_package_file_is_found() -> None:
    output = "AttributeError: 'list' object has no attribute 'get'\n\nThis was in t/dbt_project.yml"
    found = explained(output, packages=b"- package: a/b\n")
    assert (found.place, found.next_step) == (
        ("t/packages.yml", 1),
        "Begin `t/packages.yml` with `packages:`, and write the list below it.",
    )


def test_a_python_error_without_such_a_list_keeps_its_place() -> None:
    output = "TypeError: object of type 'NoneType' has no len()\n\nThis was in t/dbt_project.yml"
    found = explained(output, packages=b"packages: []\n")
    assert (found.place != ("t/packages.yml", 1), found.output) == (True, output)
