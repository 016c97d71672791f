from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.images import Wish
from app.inference.discovery import Found
from app.inference.project import Layout, Member
from app.inference.warehouse import Warehouse
from app.settings import Settings
from app.wording.place import MAX_MESSAGE_BYTES, MAX_PLACES, failures, place

PATHS = [
    *("t/models/orders.sql", "t/models/staging/schema.yml", "t/models/x/orders.sql", "t/models/schema.yml"),
    *("t/macros/cents.sql", "t/models/py.py", "t/seeds/raw.csv", "shared/models/base.sql", "shared/macros/deep/star.sql"),
]


def layout(**more: Any) -> Layout:
    members = tuple(Member(path, "0" * 40, 1) for path in PATHS)
    found = Layout(
        project_dir="t",
        project_name="shop",
        profile="shop",
        warehouse=Warehouse("duckdb", "dev", "the default"),
        dbt=Wish(),
        settings=Settings(),
        found=Found(("t",), (), len(members)),
        packages=False,
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
def test_dbts_message_leads_to_file_and_line(output: str, where: tuple[str, int | None] | None) -> None:
    assert place(output, layout()) == where


def test_a_file_that_dbt_stops_over_without_naming_it_is_found_all_the_same() -> None:
    assert place("Runtime Error\n  Syntax error near line 4\n", layout(unreadable=("t/dbt_project.yml",))) == ("t/dbt_project.yml", 4)


def test_each_file_of_a_list_is_told() -> None:
    output = (
        'Compilation Error\n  dbt found two models with the name "orders".\n  To fix this, change the name of one of these resources:\n'
        "  - model.shop.orders (models/x/orders.sql)\n  - model.shop.orders (models/orders.sql)"
    )
    found = failures(output, layout())
    assert [(one.path, one.line, one.level) for one in found] == [
        ("t/models/x/orders.sql", None, "failure"),
        ("t/models/orders.sql", None, "failure"),
    ]
    assert {one.title for one in found} == {"Two resources have the same name"}
    assert all("dbt found two models" in one.message and "Rename one" in one.message for one in found)


def test_each_error_has_its_own_class_place_and_line() -> None:
    output = (
        "Compilation Error in model orders (models/orders.sql)\n  unexpected '}', expected ')'\n    line 2\n      {{ x }}\n"
        "Parsing Error\n  The schema file at models/schema.yml is invalid because a list element for 'models' does not have a name"
    )
    assert [(one.path, one.line, one.title) for one in failures(output, layout())] == [
        ("t/models/orders.sql", 2, "A Jinja expression cannot be read"),
        ("t/models/schema.yml", None, "A YAML file is not built as dbt wants it"),
    ]


def test_who_called_a_macro_is_named_only_when_nothing_else_is() -> None:
    called = "  > in macro cents (macros/cents.sql)\n  > called by model orders (models/orders.sql)"
    assert [one.path for one in failures(f"Compilation Error in model base (models/x/orders.sql)\n  no\n{called}", layout())] == [
        "t/models/x/orders.sql"
    ]
    assert [one.path for one in failures(f"Compilation Error\n  no\n{called}", layout())] == ["t/macros/cents.sql", "t/models/orders.sql"]


@pytest.mark.parametrize(
    "output", ["a" * 256_000, "a." * 128_000, "models/orders.sql " * 14_000, "(" * 256_000, "Parsing Error\n" * 18_000]
)
def test_an_output_made_to_be_slow_is_bounded(output: str) -> None:
    found = failures(output, layout())
    assert len(found) <= MAX_PLACES
    assert all(len(one.message.encode()) < MAX_MESSAGE_BYTES + 500 for one in found)
