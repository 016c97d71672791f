"""The parts of the program in the runner image that decide what can be skipped: nodes that are as before, and certainly valid data."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

from tests.unit.test_runner_placeholders import load

schema, texts = load("freshet_schema"), load("freshet_node_texts")


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
    assert doctest.testmod(texts) == (0, 6)
