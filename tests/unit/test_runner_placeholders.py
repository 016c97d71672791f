"""The parts of the program in the runner image that find uses of missing values, and choose placeholders."""

from __future__ import annotations

import doctest
import importlib.util
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runner.job_protocol import MAX_HEADER, Result

RUNNER = Path(__file__).parents[2] / "app" / "runner" / "program"


def load(name: str) -> ModuleType:
    """Load a module of the program, which is not part of the package `app`."""
    spec = importlib.util.spec_from_file_location(name, RUNNER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


entries, scan, guess, result = (load(f"freshet_{name}") for name in ("entries", "scan", "placeholder_values", "result"))


@pytest.mark.parametrize(
    ("text", "wants"),
    [
        ("{% for x in var('V') %}", "list"),
        ("{%- set all = var('V', []) -%}\n{% for x in all %}", "list"),
        ("{{ var('V') | join(', ') }}", "list"),
        ("{% if 'a' in var('V') %}", "list"),
        ("{{ var('V') | int }}", "number"),
        ("{{ var( 'V' )|trim|float }}", "number"),
        ("{{ (var('V')) | as_number }}", "number"),
        ("{{ range(0, var('V')) }}", "number"),
        ("{% if var('V') > 3 %}", "number"),
        ("{% if 3 <= var('V') %}", "number"),
        ("{% set n = var('V') %}{% if n >= 2 %}", "number"),
        ("{{ var('V') * other }}", "number"),
        ("{{ 3 * var('V') }}", "number"),
        ("{{ n - var('V') }}", "number"),
        ("{% if var('V') | length > 0 %}", "list"),
        ("{{ var('V')[0] }}", "items"),
        ("{{ var('V') | first }}", "items"),
        ("{{ var('V')[:4] }}", None),
        ("{{ var('V').upper() }}", None),
        ("{{ var('V')['a'] }}", "dict"),
        ("{{ var('V').a }}", "dict"),
        ("{{ var('V').get('a') }}", "dict"),
        ("{{ (var('V'))[target.name] }}", "dict"),
        ("{% set v = var('V') %}{{ v.a }}", "dict"),
        ("{{ fromjson(var('V'))['a'] }}", "json"),
        ("{{ config(enabled=var('V')) }}", "bool"),
        ("models:\n  +enabled: \"{{ var('V') }}\"", "bool"),
        ("{{ var('V') | as_bool }}", "bool"),
        ("{% if var('V') == true %}", "bool"),
        ("{% for k, v in var('V').items() %}", "dict"),
        ("{{ fromjson(var('V')) }}", "json"),
        ("sources:\n  - schema: \"pr_{{ var('V') }}\"", "name"),
        ("{{ config(tags=['a'], alias='pr_' ~ var('V')) }}", "name"),
        ("{% macro generate_schema_name(a, b) %}{{ b }}" + "-" * 200 + "{{ var('V') }}{% endmacro %}", "name"),
        ("{% macro generate_schema_name(a, b) %}{{ 'pr_%d' % (var('V') | int) }}{% endmacro %}", "number"),
        ("{{ var('V') }}", None),
        ("{% if var('V') == 'a' %}", None),
        ("{% if var('V') %}", None),
    ],
)
def test_the_type_of_a_value_follows_from_its_use(text: str, wants: str | None) -> None:
    [use] = scan.read(text, "models/a.sql")
    assert (use.name, use.wants) == ("V", wants)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ var('V')['staging'] }}", {"staging": "freshetunknown_staging"}),
        ("schema: '{{ var(''V'')[''raw''] }}'", {"raw": "freshetunknown_raw"}),
        ('schema: "{{ var(\\"V\\")[\\"raw\\"] }}"', {"raw": "freshetunknown_raw"}),
        ("{% for x in var('V').europe %}", {"europe": []}),
        ("{% if 'a' in var('V')['names'] %}", {"names": []}),
        ("{% if var('V').on %}", {"on": False}),
        ("enabled: \"{{ var('V').on }}\"", {"on": True}),
        ("{{ var('V')['days'] + 1 }}", {"days": 1}),
        ("{{ var('V').a['b'].c }} {{ var('V').a.d }}", {"a": {"b": {"c": "freshetunknown_c"}, "d": "freshetunknown_d"}}),
        ("{{ var('V').get('a') }} {{ var('V').get('b', 1) }}", {"a": "freshetunknown_a"}),
        ("{% set v = var('V').eu %}{% for x in v.list %}{{ v.name }}", {"eu": {"list": [], "name": "freshetunknown_name"}}),
        ("{{ var('V')[0].name }}", [{"name": "freshetunknown_name"}]),
        ("{% for x in var('V') %}{% endfor %}{{ var('V')[0] }}", []),
        ("{{ fromjson(var('V'))['a'] }}", '{"a": "freshetunknown_a"}'),
    ],
)
def test_a_value_has_the_entries_that_are_read(text: str, value: object) -> None:
    uses = scan.read(text, "a.yml")
    found = guess.var("V", scan.strongest({use.wants for use in uses}), tuple(entry for use in uses for entry in use.entries))
    assert found == value


def test_a_mapping_has_entries_for_computed_keys_too() -> None:
    [use] = scan.read("{{ var('V')[target.name]['schema'] }}", "a.sql")
    value = guess.copied(guess.var("V", use.wants, use.entries))
    assert (value["prod"], dict(value)) == ({"schema": "freshetunknown_schema"}, {})
    assert guess.shown(value) == "{}"
    assert guess.shown("{}") == '"{}"'


def test_reading_entries_takes_linear_time() -> None:
    for piece in ("[a", ".a", "['a']", "[(", ". get ( "):
        scan.read("{{ var('V')" + piece * (200_000 // len(piece)), "a.sql")


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("env_var('X')", True),
        ('env_var( "X" )', True),
        ('env_var(\\"X\\")', True),
        ("'{{ env_var(''X'') }}'", True),
        ("env_var('X', none)", True),
        ("env_var('X', 'd')", False),
        ("env_var('X', '')", False),
        ("var('X', none)", False),
        ("var('X')", True),
    ],
)
def test_a_default_is_recognized(text: str, needed: bool) -> None:  # noqa: FBT001 - a parameter
    assert [(use.name, use.needed) for use in scan.read(text, "a.yml")] == [("X", needed)]


@pytest.mark.parametrize(
    "text", ["{# env_var('X') #}", "{#\n{{ env_var('X') }}\n#}", "  # env_var('X')", "my_env_var('X')", "env_var(name)"]
)
def test_what_dbt_does_not_render_is_not_found(text: str) -> None:
    assert scan.read(text, "a.yml") == []


def test_comments_do_not_move_lines() -> None:
    [use] = scan.read("{# one\ntwo #}\n# three\n{{ env_var('X') }}", "a.yml")
    assert use.line == 4


def test_files_of_packages_are_told_from_the_projects_own(tmp_path: Path) -> None:
    files = {
        "shop/dbt_project.yml": "a: \"{{ env_var('A') }}\"",
        "shop/profiles.yml": "b: \"{{ env_var('B') }}\"",
        "shop/macros/c.sql": "{% macro c() %}{{ env_var('C') }}{% endmacro %}",
        "shop/README.md": "Set env_var('D').",
        "shop/dbt_packages/p/dbt_project.yml": "name: p",
        "shop/dbt_packages/p/models/e.sql": "{{ env_var('E') }}",
        "shop/dbt_packages/p/integration_tests/models/f.sql": "{{ env_var('F') }}",
        "shop/models/big.sql": "x" * (3 << 20) + "{{ env_var('G') }}",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "shop/models/link.sql").symlink_to(tmp_path / "shop/dbt_packages/p/models/e.sql")
    found = scan.uses(str(tmp_path), str(tmp_path / "shop"))
    assert [(use.name, use.path, use.rendered) for use in found] == [
        ("A", "shop/dbt_project.yml", True),
        ("E", "shop/dbt_packages/p/models/e.sql", False),
        ("C", "shop/macros/c.sql", False),
    ]
    assert scan.package_roots(str(tmp_path), str(tmp_path / "shop")) == [str(tmp_path / "shop/dbt_packages/p")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DBT_PORT", "1"),
        ("MAX_ROWS", "1"),
        ("lookbackDays", "1"),
        ("IS_PROD", "True"),
        ("SLACK_ENABLED", "True"),
        ("DBT_DISABLE_TESTS", "False"),
        ("START_DATE", "2020-01-01"),
        ("MAX_DATE", "2020-01-01"),
        ("UPDATED", "freshetunknown_updated"),
        ("SNOWFLAKE-Schema.Name", "freshetunknown_snowflake_schema_name"),
        ("2ND_DB", "freshetunknown_2nd_db"),
        ("DBT", "freshetunknown_dbt"),
        ("…", "freshetunknown"),
    ],
)
def test_a_name_alone_suggests_a_type(name: str, value: str) -> None:
    assert guess.env_var(name, None) == value


@given(st.text(max_size=300), st.sampled_from([None, "list", "dict", "json", "number", "bool"]))
def test_a_placeholder_text_is_a_valid_schema(name: str, wants: str | None) -> None:
    assert guess.env_var(name, wants) == guess.env_var(name, wants)
    text = guess.text(name)
    assert text.isidentifier()
    assert text.isascii()
    assert text == text.lower()
    assert len(text) <= 63, "the longest name that PostgreSQL takes"


def test_the_doctests_of_the_program_pass() -> None:
    assert doctest.testmod(guess) == (0, 2)


def header(told: dict[str, Any]) -> Result:
    line = result._line(told)
    assert len(line) <= MAX_HEADER
    return msgspec.json.decode(line, type=Result)


def test_a_header_fits_the_protocol_whatever_the_names() -> None:
    record = {"kind": "var", "name": "\x00" * 500, "value": "\u00df" * 500, "path": "\udcff" * 500, "line": 1}
    told = {"ok": False, "bytes": 0, "kind": "dbt", "error": "\x01" * (128 << 10), "stages": {}, "placeholders": [record] * 200}
    assert 0 < len(header(told).placeholders) < 200
    assert header({**told, "error": "no", "placeholders": [record]}).placeholders[0].value == "ß" * 500
    assert json.loads(result._line({**told, "placeholders": []}))["error"] == told["error"]
    assert io.BytesIO(result._line(told)).readlines()[1:] == []
