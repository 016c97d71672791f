"""Validates YAML with a JSON Schema: returns JSON values, and a sentence with a line for each mistake.

https://json-schema.org/draft/2020-12/json-schema-validation; only the keywords that `_Reader` looks up are supported.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from math import isfinite
from typing import Any

import yaml

from app.core.yaml_text import NotYamlError, compose, line_of, listed

MAX_FAULTS = 50
MAX_CONSTANT = 100
"""Characters of a number: some that YAML 1.1 allows take the square of their length to read."""

TAG = "tag:yaml.org,2002:"
TYPES = {"str": "string", "timestamp": "string", "value": "string", "int": "number", "float": "number", "bool": "boolean", "null": "null"}
"""The JSON types of YAML's scalars; a date is text."""
KINDS = {
    "object": "a mapping (`key: value`)",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "boolean": "true or false",
    "null": "empty",
}

Schema = Mapping[str, Any]
Fault = tuple[str, int | None]
"""A sentence for people, and the line, from 1."""


def read(text: bytes, schema: Schema) -> tuple[Any, list[Fault]]:
    """The JSON value of a YAML text, and its mistakes. If there are any, do not use the value."""
    reader, value = _Reader(), None
    try:
        node = compose(text)
        if node is not None:
            value = reader.value(node, schema, "")
    except NotYamlError as error:
        return None, [(f"The file {error.reason}.", error.line)]
    except _TooManyError:
        value = None
    return value, sorted(reader.faults, key=lambda fault: fault[1] or 0)


class _TooManyError(Exception):
    """There are more than `MAX_FAULTS`."""


class _Reader:
    """Reads YAML nodes with a JSON Schema.

    Where a schema accepts text, an unquoted value is text: `1.10` is not 1.1. A required key of a list's items is unique in the list.
    Mistakes against `pattern`, `not`, `enum` and `oneOf` are reported with `patternErrorMessage` and `errorMessage`, as editors do
    (https://code.visualstudio.com/docs/languages/json).
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def value(self, node: yaml.Node, schema: Schema, path: str) -> Any:
        """The JSON value of a node; mistakes are added to `faults`. Raises _TooManyError."""
        kinds = listed(schema.get("type"))
        kind = _kind(node, text="string" in kinds and "boolean" not in kinds)
        if kind is None:
            self._add(node, path, "has a YAML tag that is not supported. Remove the tag.")
        elif kinds and kind not in kinds:
            expected = " or ".join(KINDS[name] for name in kinds if name != "null")
            quotes = ": put it in quotes" if "string" in kinds and kind in {"number", "boolean"} else ""
            self._add(node, path, f"is {KINDS[kind]}, but must be {expected}{quotes}.")
        elif isinstance(node, yaml.MappingNode):
            return self._mapping(node, schema, path)
        elif isinstance(node, yaml.SequenceNode):
            return self._sequence(node, schema, path)
        elif "string" in {kind, *kinds}:
            return self._text(node, schema, path)
        else:
            return self._constant(node, schema, path)
        return None

    def _mapping(self, node: yaml.MappingNode, schema: Schema, path: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        own, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        for key, item in node.value:
            below = f"{path}.{_shown(key)}".lstrip(".")
            if self._takes_key(key, schema, below, values):
                values[key.value] = self.value(item, own.get(key.value, others), below)
        for name in schema.get("required", ()):
            if name not in values:
                self._add(node, path, f"has no `{name}`.")
        if "oneOf" in schema and sum(case["required"][0] in values for case in schema["oneOf"]) != 1:
            self._add(node, path, schema["errorMessage"])
        return values

    def _takes_key(self, key: yaml.Node, schema: Schema, path: str, seen: Mapping[str, Any]) -> bool:
        if _kind(key) != "string":
            self._add(key, path, "is not a valid key. If it is text, put it in quotes.")
        elif key.value in seen:
            self._add(key, path, "appears twice.")
        elif schema.get("additionalProperties") is False and key.value not in schema["properties"]:
            close = [f" Did you mean `{name}`?" for name in get_close_matches(key.value[:40], schema["properties"], 1)]
            known = ", ".join(f"`{name}`" for name in schema["properties"])
            self._add(key, path, f"is not a known key.{''.join(close)} Known keys: {known}.")
        else:
            self._text(key, schema.get("propertyNames", {}), path)
            return True
        return False

    def _sequence(self, node: yaml.SequenceNode, schema: Schema, path: str) -> list[Any]:
        items = schema.get("items", {})
        values = [self.value(item, items, f"{path}[{index}]") for index, item in enumerate(node.value)]
        if len(values) < schema.get("minItems", 0):
            self._add(node, path, "is empty.")
        if len(values) > schema.get("maxItems", len(values)):
            self._add(node, path, f"has more than {schema['maxItems']} items.")
        for name in items.get("required", ()):
            for index in _repeated([value.get(name) if isinstance(value, dict) else None for value in values]):
                self._add(node.value[index], f"{path}[{index}]", f"has the same `{name}` as an earlier item.")
        return values

    def _text(self, node: yaml.Node, schema: Schema, path: str) -> str:
        text: str = node.value
        if "pattern" in schema and not re.fullmatch(schema["pattern"], text):
            self._add(node, path, schema["patternErrorMessage"])
        elif "not" in schema and re.search(schema["not"]["pattern"], text):
            self._add(node, path, schema["errorMessage"])
        return text

    def _constant(self, node: yaml.Node, schema: Schema, path: str) -> bool | int | float | None:
        try:
            if len(node.value) > MAX_CONSTANT:
                raise ValueError
            value: bool | int | float | None = yaml.constructor.SafeConstructor().construct_object(node)
        except (ValueError, LookupError, ArithmeticError):
            value = float("nan")
        if value is not None and not (isfinite(value) if isinstance(value, float) else abs(value) < 2**63):
            self._add(node, path, "is not a supported number. Put it in quotes.")
        elif value not in schema.get("enum", [value]) or not _in_range(value, schema):
            self._add(node, path, schema["errorMessage"])
        return value

    def _add(self, node: yaml.Node, path: str, message: str) -> None:
        if len(self.faults) == MAX_FAULTS:
            raise _TooManyError
        self.faults.append((f"{f'`{path}`' if path else 'The file'} {message}", line_of(node.start_mark)))


def _in_range(value: float | None, schema: Schema) -> bool:
    return value is None or schema.get("minimum", value) <= value <= schema.get("maximum", value)


def _kind(node: yaml.Node, *, text: bool = False) -> str | None:
    """The JSON type of a node; None if JSON has no such type.

    `text`: where text is expected, `off` and `yes` are texts, as in YAML 1.2 (https://yaml.org/spec/1.2.2/#1032-tag-resolution), which
    editors read.
    """
    name = node.tag.removeprefix(TAG)
    if isinstance(node, yaml.ScalarNode):
        return "string" if text and name == "bool" and node.value.lower() not in {"true", "false"} else TYPES.get(name)
    if isinstance(node, yaml.MappingNode):
        return "object" if name == "map" else None
    return "array" if name == "seq" else None


def _shown(key: yaml.Node) -> str:
    written = key.value if isinstance(key, yaml.ScalarNode) else "?"
    return "".join(char if char.isprintable() and char != "`" else "?" for char in written[:60])


def _repeated(names: list[str | None]) -> Iterator[int]:
    """Indexes of names that repeat an earlier one; paths are normalized first."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name is not None:
            same = posixpath.normpath(name)
            if same in seen:
                yield index
            seen.add(same)
