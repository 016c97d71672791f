"""A fast validator for the part of JSON Schema that dataclasses use: a positive answer is certain. Independent of dbt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SILENT = {"$schema", "title", "description", "default", "format", "examples"}
"""Keywords that validate nothing, https://json-schema.org/draft-07/json-schema-validation"""
KINDS = {"string": str, "integer": int, "boolean": bool, "null": type(None), "object": dict, "array": list, "number": float}


def checker(schema: object, root: dict) -> Callable:
    """Return a function that is true for a value only if it is certainly valid. `root` has the definitions.

    >>> check = checker({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}, {})
    >>> check({"a": "b"}), check({"a": 1}), check({"b": "b"})
    (True, False, False)
    """
    if schema is True or schema == {}:
        return lambda _value: True
    if not isinstance(schema, dict):
        return _never
    if "$ref" in schema:
        return _reference(schema["$ref"], root)
    checks = [
        KEYWORDS.get(key, _unknown)(schema, root) for key in schema if key not in SILENT and key not in ("required", "additionalProperties")
    ]
    if "additionalProperties" in schema and "properties" not in schema:
        checks.append(_properties(schema, root))
    return checks[0] if len(checks) == 1 else _all(checks)


def _all(checks: list) -> Callable:
    def check(value: object) -> bool:
        # Loops: a generator for each value takes longer than what it checks.
        for each in checks:  # noqa: SIM110
            if not each(value):
                return False
        return True

    return check


def _any(checks: list) -> Callable:
    def check(value: object) -> bool:
        for each in checks:  # noqa: SIM110
            if each(value):
                return True
        return False

    return check


def _never(_value: object) -> bool:
    return False


def _unknown(_schema: dict, _root: dict) -> Callable:
    return _never


def _reference(name: str, root: dict) -> Callable:
    found = []

    def check(value: object) -> bool:
        # Resolve it on the first use: definitions may be recursive.
        if not found:
            target = root
            for step in name.split("/")[1:]:
                target = target.get(step) if isinstance(target, dict) else None
            found.append(checker(target, root))
        return found[0](value)

    return check if name.startswith("#/") else _never


def _type(schema: dict, _root: dict) -> Callable:
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not all(name in KINDS for name in names):
        return _never
    # Compare types exactly: in a schema True is not an integer, but an integer is a number.
    return _of_kinds({KINDS[name] for name in names} | ({int} if "number" in names else set()))


def _of_kinds(kinds: set) -> Callable:
    derived = tuple(kinds & {str, dict, list})

    def check(value: object) -> bool:
        return type(value) in kinds or isinstance(value, derived)

    check.kinds = kinds
    return check


def _enum(schema: dict, _root: dict) -> Callable:
    allowed = {value for value in schema["enum"] if isinstance(value, str)}
    # Members of enumerations are strings too, so compare by equality.
    return lambda value: isinstance(value, str) and any(value == each for each in allowed)


def _const(schema: dict, root: dict) -> Callable:
    return _enum({"enum": [schema["const"]]}, root)


def _any_of(schema: dict, root: dict) -> Callable:
    checks = [checker(each, root) for each in schema["anyOf"]]
    kinds = [getattr(check, "kinds", None) for check in checks]
    return _any(checks) if None in kinds else _of_kinds(set().union(*kinds))


def _items(schema: dict, root: dict) -> Callable:
    check = checker(schema["items"], root)

    def check_all(value: object) -> bool:
        if not isinstance(value, list):
            return False
        for item in value:  # noqa: SIM110
            if not check(item):
                return False
        return True

    return check_all


def _property_names(schema: dict, root: dict) -> Callable:
    check = checker(schema["propertyNames"], root)
    return lambda value: isinstance(value, dict) and all(check(name) for name in value)


def _pattern(schema: dict, _root: dict) -> Callable:
    found = re.compile(schema["pattern"]).search
    return lambda value: isinstance(value, str) and found(value) is not None


def _properties(schema: dict, root: dict) -> Callable:
    known = {name: checker(each, root) for name, each in schema.get("properties", {}).items()}
    required = set(schema.get("required", ()))
    more = schema.get("additionalProperties", True)
    other = _never if more is False else checker(more, root)

    def check(value: object) -> bool:
        if not isinstance(value, dict) or not required <= value.keys():
            return False
        for name, each in value.items():  # noqa: SIM110
            if not known.get(name, other)(each):
                return False
        return True

    return check


KEYWORDS = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "anyOf": _any_of,
    "items": _items,
    "pattern": _pattern,
    "propertyNames": _property_names,
    **dict.fromkeys(("properties", "required", "additionalProperties"), _properties),
}
