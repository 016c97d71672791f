"""The parts of the program in the runner image that decide what can be skipped: safe changes, and certainly valid data."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_runner_placeholders import load

changes, schema, tree = load("freshet_changes"), load("freshet_schema"), load("freshet_tree")

KINDS = {"models/a.sql": "model", "macros/m.sql": "macro", "models/s.yml": "schema", "both.sql": None}
BEFORE = """
models:
- {name: a, description: one, columns: [{name: id, data_tests: [unique]}]}
- {name: b, config: {tags: [x]}}
sources:
- {name: raw, tables: [{name: t}, {name: u}]}
"""


def stops(before: str, now: str) -> bool:
    return changes.needing_full_parse(["models/s.yml"], KINDS, {"models/s.yml": (before, now)}, yaml.safe_load) is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("one", "two"),
        ("[unique]", "[unique, not_null]"),
        ("tags: [x]", "enabled: false"),
        ("{name: t}", "{name: t, description: new}"),
    ],
)
def test_yaml_about_one_name_is_a_safe_change(old: str, new: str) -> None:
    assert not stops(BEFORE, BEFORE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: b", "name: c"),
        ("name: b", "name: a"),
        ("name: u", "name: v"),
        (", {name: u}", ""),
        ("description: one", "access: public"),
        ("description: one", "versions: [{v: 1}]"),
        ("sources:\n- {name: raw", "sources:\n- {name: raw, overrides: p"),
        ("sources:", "metrics:"),
        ("models:", "macros:"),
        (BEFORE, "- a list"),
        (BEFORE, ""),
    ],
)
def test_yaml_about_several_names_needs_a_full_parse(old: str, new: str) -> None:
    assert stops(BEFORE, BEFORE.replace(old, new))


def test_only_changes_of_files_with_their_own_nodes_are_safe() -> None:
    assert changes.needing_full_parse(["models/a.sql"], KINDS, {}, yaml.safe_load) is None
    for path in ("macros/m.sql", "both.sql", "unknown.txt"):
        assert changes.needing_full_parse(["models/a.sql", path], KINDS, {}, yaml.safe_load) == path


def test_an_added_or_removed_file_needs_a_full_parse() -> None:
    assert changes.changed({"a": "1", "b": "2"}, {"a": "1", "b": "3"}) == ["b"]
    assert changes.changed({"a": "1"}, {"a": "1", "b": "2"}) is None
    assert changes.changed({"a": "1", "b": "2"}, {"a": "1"}) is None


@pytest.mark.parametrize(
    ("of", "valid", "doubtful"),
    [
        ({"type": "integer"}, [1], [True, 1.5, "1", None]),
        ({"type": "number"}, [1, 1.5], [True, "1"]),
        ({"type": ["string", "null"]}, ["a", None], [1, []]),
        ({"enum": ["a", "b"]}, ["a"], ["c", None, ["a"]]),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}, ["a", [], ["a"]], [1, [1]]),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, [{"a": "x", "b": 1}], [{}, {"a": 1}, []]),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, [{}, {"a": 1}], [{"a": "1"}]),
        ({"type": "object", "properties": {}, "additionalProperties": False}, [{}], [{"a": 1}]),
        ({"type": "object", "propertyNames": {"type": "string"}}, [{}, {"a": 1}], [{1: 1}, []]),
        ({"type": "string", "pattern": "^x"}, ["xa"], ["a"]),
        ({"$ref": "#/definitions/list"}, [{}, {"next": {}}], [{"next": 1}]),
        ({"title": "t", "default": 1}, [1, "a"], []),
        # Unknown keywords are left to dbt's own validator.
        ({"type": "integer", "minimum": 1}, [], [2]),
        ({"const": 1}, [], [1]),
        (False, [], [1]),
        ({"$ref": "#/definitions/nowhere"}, [], [1]),
        ({"$ref": "https://example.com/"}, [], [1]),
    ],
)
def test_only_certainly_valid_values_are_valid(of: Any, valid: list[Any], doubtful: list[Any]) -> None:
    nested = {"type": "object", "properties": {"next": {"$ref": "#/definitions/list"}}}
    check = schema.checker(of, {"definitions": {"list": nested}})
    assert [value for value in [*valid, *doubtful] if check(value)] == valid


def test_the_doctests_of_the_program_pass() -> None:
    assert doctest.testmod(schema) == (0, 2)


@given(st.lists(st.binary(min_size=16, max_size=16), unique_by=lambda digest: digest[:8], min_size=2))
def test_modification_times_differ_with_the_contents(digests: list[bytes]) -> None:
    times = [tree._time_of(digest) for digest in digests]
    # Like dbt: seconds as a floating point number.
    assert len({time / 1e9 for time in times}) == len(set(times))
    assert all(0 <= time < 1 << 63 for time in times)
