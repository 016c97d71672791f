from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.core.models.annotations import Annotation
from app.project.adapter_choice import AdapterChoice
from app.project.discovery import DiscoveredProjects
from app.project.layout import ProjectLayout
from app.project.read_files import Member
from app.project.repository_settings import RepositorySettings
from app.project.runner_images import RequestedVersion
from app.reports.locations import MAX_LOCATIONS, MAX_MESSAGE_BYTES, explain

PATHS = [
    *("t/models/orders.sql", "t/models/staging/schema.yml", "t/models/x/orders.sql", "t/models/schema.yml"),
    *("t/macros/cents.sql", "t/models/py.py", "t/seeds/raw.csv", "shared/models/base.sql", "shared/macros/deep/star.sql"),
]


def layout(**more: Any) -> ProjectLayout:
    members = tuple(Member(path, "0" * 40, 1) for path in PATHS)
    found = ProjectLayout(
        project_dir="t",
        project_name="shop",
        profile="shop",
        adapter=AdapterChoice("duckdb", "dev", "the default"),
        dbt=RequestedVersion(),
        settings=RepositorySettings(),
        discovered=DiscoveredProjects(("t",), (), len(members)),
        needs_packages=False,
        install_dir="t/dbt_packages",
        package_texts={},
        members=members,
    )
    return replace(found, **more)


@pytest.mark.parametrize(
    ("output", "where"),
    [
        (
            "Compilation Error in model orders (models/orders.sql)\n  unexpected '}'\n    line 5\n      {{ ref('a') }",
            ("t/models/orders.sql", 5),
        ),
        (
            "Compilation Error\n  Model 'model.shop.orders' (models/orders.sql) depends on a node named 'nope'",
            ("t/models/orders.sql", None),
        ),
        ("Error reading shop: staging/schema.yml - Runtime Error\n    Syntax error near line 3", ("t/models/staging/schema.yml", 3)),
        ("Error reading shop: schema.yml - x\n  line 4\n\nThis was in t/models/schema.yml, line 4", ("t/models/schema.yml", 4)),
        ("Compilation Error in model base (../shared/models/base.sql)\n  line 2", ("shared/models/base.sql", 2)),
        ("Runtime Error\n  at path []: Additional properties in t/dbt_project.yml", ("t/dbt_project.yml", None)),
        ("Runtime Error\n  Syntax error near line 6\n\nError encountered in dbt_project.yml", ("t/dbt_project.yml", 6)),
        ("models/staging/schema.yml - line 3", ("t/models/staging/schema.yml", 3)),
        ("The error occurred in models/staging/schema.yml at line 3, column 7", ("t/models/staging/schema.yml", 3)),
        ("Got endif but never saw a preceeding if (@ 12:0)\n\nThis was in t/macros/cents.sql", ("t/macros/cents.sql", 12)),
        ("expected ':' (py.py, line 1)\n  def model(dbt, session)", ("t/models/py.py", 1)),
        (
            (
                "Invalid exposures config given in FilePath(searched_path='models', relative_path='schema.yml', modification_time=1.5, "
                "project_root='/work/src/t') @ exposures: {} - at path ['type']"
            ),
            ("t/models/schema.yml", None),
        ),
        ("in shop://models/orders.sql", ("t/models/orders.sql", None)),
        ("in other://macros/deep/star.sql", ("shared/macros/deep/star.sql", None)),
        ("in other://models/orders.sql", None),
        ("Compilation Error in macro x (macros/generic/x.sql)", None),
        ("in ../../etc/passwd.sql and /etc/x.yml and ../models/orders.sql", None),
        ("Database Error: nothing to do with files", None),
        ("Documentation for 'model.shop.base' depends on doc 'x'  which was not found", ("shared/models/base.sql", None)),
        ("Node model.shop.orders has an invalid value (foo) for the access field", None),
        ("Node model.other.base has an invalid value (foo) for the access field", None),
        ("Internal Error\n  Got an unexpected project version=1, expected 2", ("t/dbt_project.yml", None)),
        ("Could not read selector file data: x", None),
        ("in models/orders.sql\n  line 99999999999999999999", ("t/models/orders.sql", None)),
        ("in models/orders.sql\n  line 0", ("t/models/orders.sql", None)),
        ("Compilation Error\n  'x' is undefined\n    line 1\n\nThis was in t/models/schema.yml, line 1", ("t/models/schema.yml", None)),
    ],
)
def test_dbts_message_is_located_at_file_and_line(output: str, where: tuple[str, int | None] | None) -> None:
    assert first_location(output, layout()) == where


def failure_annotations(output: str, of: ProjectLayout) -> tuple[Annotation, ...]:
    found = explain(output, of)
    assert found.place == next(((one.path, one.line) for one in found.annotations), None)
    return found.annotations


def first_location(output: str, of: ProjectLayout) -> tuple[str | None, int | None] | None:
    return next(((found.path, found.line) for found in failure_annotations(output, of)), None)


def test_an_unreadable_file_is_located_though_dbt_does_not_name_it() -> None:
    unreadable = layout(unreadable=("t/dbt_project.yml",))
    assert first_location("Runtime Error\n  Syntax error near line 4\n", unreadable) == ("t/dbt_project.yml", 4)


def test_every_file_of_a_list_is_annotated() -> None:
    output = (
        'Compilation Error\n  dbt found two models with the name "orders".\n  To fix this, change the name of one of these resources:\n'
        "  - model.shop.orders (models/x/orders.sql)\n  - model.shop.orders (models/orders.sql)"
    )
    found = failure_annotations(output, layout())
    assert [(one.path, one.line, one.level) for one in found] == [
        ("t/models/x/orders.sql", None, "failure"),
        ("t/models/orders.sql", None, "failure"),
    ]
    assert {one.title for one in found} == {"Two resources have the same name"}
    assert all("dbt found two models" in one.message and "Rename or remove one" in one.message for one in found)


def test_each_error_has_its_own_class_and_location() -> None:
    output = (
        "Compilation Error in model orders (models/orders.sql)\n  unexpected '}', expected ')'\n    line 2\n      {{ x }}\n"
        "Parsing Error\n  The schema file at models/schema.yml is invalid because a list element for 'models' does not have a name"
    )
    assert [(one.path, one.line, one.title) for one in failure_annotations(output, layout())] == [
        ("t/models/orders.sql", 2, "Jinja syntax error"),
        ("t/models/schema.yml", None, "A YAML file does not have the structure that dbt expects"),
    ]


def test_callers_of_a_macro_are_annotated_only_without_another_file() -> None:
    called = "  > in macro cents (macros/cents.sql)\n  > called by model orders (models/orders.sql)"
    named = failure_annotations(f"Compilation Error in model base (models/x/orders.sql)\n  no\n{called}", layout())
    assert [one.path for one in named] == ["t/models/x/orders.sql"]
    callers = failure_annotations(f"Compilation Error\n  no\n{called}", layout())
    assert [one.path for one in callers] == ["t/macros/cents.sql", "t/models/orders.sql"]


@pytest.mark.parametrize(
    "output", ["a" * 256_000, "a." * 128_000, "models/orders.sql " * 14_000, "(" * 256_000, "Parsing Error\n" * 18_000]
)
def test_hostile_output_is_searched_in_bounded_time(output: str) -> None:
    found = failure_annotations(output, layout())
    assert len(found) <= MAX_LOCATIONS
    assert all(len(one.message.encode()) < MAX_MESSAGE_BYTES + 500 for one in found)
