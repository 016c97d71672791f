"""The names of the database and the schema come from the project's profile or its settings, and nothing else of a profile is read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from app.core.models.warehouse import TOKEN, UNKNOWN, GivenName, WarehouseNames, is_known
from app.project.adapter_choice import infer
from app.project.adapters import IN_IMAGES, names_alike
from app.project.repository_settings import ProjectSettings, read
from app.project.warehouse_names import evaluated, names
from app.runner.profile import stub
from tests.unit.test_runner_placeholders import guess

NOTHING = ProjectSettings()


def known(adapter: str, output: dict[str, Any] | None, settings: ProjectSettings = NOTHING) -> tuple[str | None, str | None]:
    return texts(names(adapter, output, settings))


def texts(found: WarehouseNames) -> tuple[str | None, str | None]:
    return found.database.text if found.database else None, found.schema.text if found.schema else None


@pytest.mark.parametrize(
    ("adapter", "output", "expected"),
    [
        ("snowflake", {"database": "ANALYTICS", "schema": "PROD", "account": "acme", "password": "hunter2"}, ("ANALYTICS", "PROD")),
        ("bigquery", {"project": "acme-prod", "dataset": "marts"}, ("acme-prod", "marts")),
        ("bigquery", {"database": "acme-prod", "schema": "marts"}, ("acme-prod", "marts")),
        ("bigquery", {"dataset": "marts"}, (None, "marts")),
        ("databricks", {"catalog": "main", "schema": "gold"}, ("main", "gold")),
        ("databricks", {"schema": "gold"}, ("hive_metastore", "gold")),
        ("redshift", {"dbname": "dw", "schema": "public"}, ("dw", "public")),
        ("postgres", {"dbname": "dw", "schema": "public"}, ("dw", "public")),
        ("postgres", {"database": "dw", "schema": 2024}, ("dw", "2024")),
        ("trino", {"catalog": "iceberg", "schema": "marts"}, ("iceberg", "marts")),
        ("athena", {"database": "awsdatacatalog", "schema": "marts"}, ("awsdatacatalog", "marts")),
        ("clickhouse", {"schema": "marts"}, (None, "marts")),
        ("clickhouse", {}, (None, "default")),
        ("spark", {"schema": "marts"}, (None, "marts")),
        ("sqlserver", {"database": "dw", "schema": "dbo"}, ("dw", "dbo")),
        ("fabric", {"database": "dw", "schema": "dbo"}, ("dw", "dbo")),
        ("duckdb", {}, ("memory", "main")),
        ("duckdb", {"path": ":memory:"}, ("memory", "main")),
        ("duckdb", {"path": "../data/shop.v2.duckdb", "schema": "marts"}, ("shop", "marts")),
        ("duckdb", {"path": "md:shop?motherduck_token=secret"}, ("shop", "main")),
        ("duckdb", {"path": "{{ env_var('DB_PATH', '/tmp/dev.duckdb') }}"}, ("dev", "main")),
        ("duckdb", {"path": "{{ env_var('DB_PATH') }}"}, (None, "main")),
        ("duckdb", {"path": "http://[x"}, (None, "main")),
        ("duckdb", {"path": ["a"]}, (None, "main")),
        ("oracle", {"database": "ORCL", "schema": "APP"}, ("ORCL", "APP")),
        ("nobodys", {"dbname": "dw", "schema": "app"}, ("dw", "app")),
        ("snowflake", None, (None, None)),
    ],
)
def test_every_adapter_has_its_own_keys(adapter: str, output: dict[str, Any] | None, expected: tuple[str | None, str | None]) -> None:
    assert known(adapter, output) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("prod", "prod"),
        (" prod ", "prod"),
        ("{{ env_var('S', 'prod') }}", "prod"),
        ("{{- var('S', \"prod\") -}}", "prod"),
        ("dbt_{{ env_var('WHO', 'ci') }}_{{ env_var('N', '1') }}", "dbt_ci_1"),
        ("{{ env_var('S') or 'prod' }}", "prod"),
        ("{{ env_var('S') }}", None),
        ("dbt_{{ env_var('WHO') }}", None),
        ("{{ env_var('DBT_ENV_SECRET_S', 'prod') }}", None),
        ("{% if true %}prod{% endif %}", None),
        ("{{ target.name }}", None),
        ("{{ 'a' ~ env_var('S', 'b') }}", None),
        ("{{ env_var('S', ", None),
        ("", None),
        (None, None),
        (True, None),
        ({"a": 1}, None),
        ("a\nb", None),
        (f"{TOKEN}_x", None),
        ("x" * 201, None),
    ],
)
def test_a_value_is_a_literal_or_has_a_default(value: object, expected: str | None) -> None:
    found = evaluated(value, NOTHING)
    assert (found and found.text) == expected


def test_the_settings_of_the_repository_come_first() -> None:
    output = {"database": "dev", "schema": "{{ env_var('S', 'dev') }}"}
    given = names("snowflake", output, ProjectSettings(database="analytics", environment={"S": "prod"}))
    assert given == WarehouseNames(GivenName("analytics", "settings"), GivenName("prod", "settings"))
    settings = read(b"{database: analytics, schema: prod, projects: [{dir: t, schema: ci}]}")
    assert settings.complaints == ()
    assert known("postgres", None, settings.for_project("t")) == ("analytics", "ci")
    assert read(b"database: \"{{ env_var('X') }}\"").complaints


PROFILES = b"""
shop:
  target: prod
  outputs:
    dev: {type: postgres, dbname: dev, schema: "dbt_{{ env_var('USER') }}", password: hunter2}
    prod: {type: postgres, dbname: analytics, schema: prod, password: hunter2}
"""


@pytest.mark.parametrize(
    ("path", "settings", "expected"),
    [
        ("profiles.yml", NOTHING, ("analytics", "prod")),
        (".dbt/profiles.yml", NOTHING, ("analytics", "prod")),
        ("profiles.yml", ProjectSettings(target="dev"), ("dev", None)),
        ("profiles.yml", ProjectSettings(target="other"), (None, None)),
        ("profiles.yml", ProjectSettings(adapter="snowflake"), (None, None)),
        ("profiles.yml.example", NOTHING, (None, None)),
        ("tests/profiles.yml", NOTHING, (None, None)),
    ],
)
def test_the_names_are_those_of_the_target_in_a_real_profile(path: str, settings: ProjectSettings, expected: tuple[Any, Any]) -> None:
    choice = infer("", "shop", {path: PROFILES, "dbt_project.yml": b"profile: shop"}, settings)
    assert texts(choice.names) == expected
    assert "hunter2" not in repr(choice)


TWO = b"""
shop:
  target: "{{ env_var('T') }}"
  outputs:
    dev: {type: postgres, dbname: analytics, schema: dev}
    prod: {type: postgres, dbname: analytics, schema: prod}
"""


def test_a_guessed_target_gives_only_the_names_that_all_outputs_have() -> None:
    files = {"profiles.yml": TWO, "dbt_project.yml": b"profile: shop"}
    assert texts(infer("", "shop", files, NOTHING).names) == ("analytics", None)
    assert texts(infer("", "shop", files, replace(NOTHING, target="prod")).names) == ("analytics", "prod")


def test_another_profile_gives_no_names() -> None:
    other = TWO.replace(b"shop:", b"other:").replace(b"\"{{ env_var('T') }}\"", b"prod")
    assert texts(infer("", "shop", {"profiles.yml": other, "dbt_project.yml": b"profile: shop"}, NOTHING).names) == (None, None)


@pytest.mark.parametrize("adapter", sorted(IN_IMAGES))
def test_the_profile_for_dbt_has_known_names_and_recognizable_ones_in_the_place_of_others(adapter: str) -> None:
    unknown = stub("shop", "dev", adapter)["shop"]["outputs"]["dev"]
    assert {key for key, value in unknown.items() if value in {"freshet", "public", "main", "dbo", "awsdatacatalog"}} == set()
    assert not is_known(json.dumps(unknown))
    given = WarehouseNames(GivenName("analytics", "profile"), GivenName("prod", "profile"))
    output = stub("shop", "dev", adapter, given)["shop"]["outputs"]["dev"]
    named = {"prod"} if adapter in {"spark", "clickhouse"} else {"prod", "analytics.duckdb" if adapter == "duckdb" else "analytics"}
    assert named <= {value for value in output.values() if isinstance(value, str)}
    assert all(
        is_known(str(output[key])) for key in output.keys() & {"database", "dbname", "catalog", "project", "path", "schema", "dataset"}
    )


def test_duckdb_in_memory_stays_in_memory() -> None:
    given = names("duckdb", {}, NOTHING)
    assert stub("shop", "dev", "duckdb", given)["shop"]["outputs"]["dev"] == {
        "type": "duckdb",
        "path": ":memory:",
        "schema": "main",
        "threads": 1,
    }


def test_a_stand_in_gets_names_only_if_it_builds_names_of_the_same_parts() -> None:
    assert names_alike("snowflake", "duckdb")
    assert names_alike("greenplum", "postgres")
    assert not names_alike("mysql", "duckdb")
    assert not names_alike("nobodys", "duckdb")


def test_the_program_in_the_image_marks_placeholders_with_the_same_word() -> None:
    assert guess.TOKEN == TOKEN
    assert not is_known(guess.text("RAW_DB").upper())
    assert WarehouseNames(None, None) == UNKNOWN
