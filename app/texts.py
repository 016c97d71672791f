"""Reading what people write into a project's YAML files: values that may be missing, of another type, or Jinja.

The people are strangers and the reader is our own process, so everything has a bound before any of it is built: the depth, and the size
that is left when each alias is written out (https://en.wikipedia.org/wiki/Billion_laughs_attack).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from math import isfinite
from typing import Any

import yaml

UNREADABLE: Any = object()
"""Stands for a text that is no YAML, or more of it than we read."""

MAX_DEPTH = 64
MAX_SIZE = 2 << 20
"""Characters of all values and their tags, aliases written out, and `VALUE_SIZE` more for each: about 50,000 short ones, half a second."""
VALUE_SIZE = 40
MAX_TAG_DIRECTIVES = 16
"""libyaml compares each `%TAG` with all that stand before it."""
MAX_FAULTS = 50
MAX_NUMBER = 16
"""Characters of a number, a longer one stays text: numbers from 2**61 on can be chosen so that a dict of them takes minutes."""

TAG = "tag:yaml.org,2002:"
TYPES = {"str": "string", "timestamp": "string", "value": "string", "int": "number", "float": "number", "bool": "boolean", "null": "null"}
"""The JSON types of YAML's scalars; a date is text, as it is written."""
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


class NotYamlError(ValueError):
    """A text cannot be read. `reason` goes after "the file": "has a value that is nested ..."; `line` counts from 1."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


def load(text: bytes | None) -> Any:
    """Return what a YAML text says, `UNREADABLE` when it is none or too much."""
    if not text:
        return None
    try:
        return yaml.load(_bounded(text), Loader=_Loader)  # noqa: S506 - a safe loader, see _Loader
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, ArithmeticError, TypeError, RecursionError):
        # PyYAML lets the last five escape: for `!!int ''`, `!!bool x`, `!!timestamp x`, dates that do not exist and the like.
        return UNREADABLE


def compose(text: bytes) -> yaml.Node | None:
    """Return the nodes of a YAML text, each with its place; None for an empty one. Raises NotYamlError."""
    try:
        node: yaml.Node | None = yaml.compose(_bounded(text), Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        line = _line(error.problem_mark or error.context_mark)  # an end that comes too soon is for libyaml on a line of its own
        raise NotYamlError(f"is not YAML ({reason})", min(line or 1, len(text.splitlines()))) from error
    except yaml.YAMLError as error:
        raise NotYamlError("is not YAML (there are control characters)") from error
    return node


def read(text: bytes, schema: Schema) -> tuple[Any, list[Fault]]:
    """Return the JSON value of a YAML text that a JSON Schema describes, and what is wrong with it (then the value is of no use)."""
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


def _bounded(text: bytes) -> str:
    """Return the text once its events are counted: what is built from them afterwards is no bigger."""
    if text.count(b"%TAG") > MAX_TAG_DIRECTIVES:
        raise NotYamlError(f"has more than {MAX_TAG_DIRECTIVES} `%TAG` directives")
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        raise NotYamlError("is not UTF-8", text.count(b"\n", 0, error.start) + 1) from error
    _measure(decoded)
    return decoded


def _measure(text: str) -> None:
    size, sizes = 0, dict[str | None, int]()
    opened: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, Loader=_Loader):
        before = size
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise NotYamlError("has an alias of itself, or of nothing", _line(event.start_mark))
            size += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            size += VALUE_SIZE + len(event.tag or "") + len(event.value)
            sizes[event.anchor] = size - before
        elif isinstance(event, yaml.CollectionStartEvent):
            size += VALUE_SIZE + len(event.tag or "")
            opened.append((event.anchor, before))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            sizes[anchor] = size - before
        if size > MAX_SIZE or len(opened) > MAX_DEPTH:
            raise NotYamlError("is too long with its aliases written out, or nested too deep", _line(event.start_mark))


def _line(mark: Any) -> int | None:
    return mark.line + 1 if mark else None


def _short(construct: Callable[[Any, yaml.ScalarNode], object]) -> Callable[[Any, yaml.ScalarNode], object]:
    def constructor(loader: Any, node: yaml.ScalarNode) -> object:
        return construct(loader, node) if len(node.value) <= MAX_NUMBER else node.value

    return constructor


_Loader: Any = type("_Loader", (getattr(yaml, "CSafeLoader", yaml.SafeLoader),), {})
_Loader.add_constructor("tag:yaml.org,2002:int", _short(yaml.SafeLoader.construct_yaml_int))
_Loader.add_constructor("tag:yaml.org,2002:float", _short(yaml.SafeLoader.construct_yaml_float))


class _TooManyError(Exception):
    """There are `MAX_FAULTS`."""


class _Reader:
    """Reads YAML nodes by a JSON Schema: the keywords that it knows are those that it looks up.

    Where a schema takes text, anything that is written without quotes is text: `1.10` is not 1.1. Items of a list that are required to
    have a certain key differ in it. What breaks `pattern`, `not`, `enum` or `oneOf` is told in the words of `patternErrorMessage` and
    `errorMessage`, as in editors (https://code.visualstudio.com/docs/languages/json).
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def value(self, node: yaml.Node, schema: Schema, path: str) -> Any:
        """Return the JSON value of a node; what is wrong with it is added to `faults`. Raises _TooManyError."""
        kind, kinds = _kind(node), listed(schema.get("type"))
        if kind is None:
            self._add(node, path, "has a YAML tag that is not taken here. Leave the tag out.")
        elif kinds and kind not in kinds:
            wanted = " or ".join(KINDS[name] for name in kinds if name != "null")
            quotes = ": put it in quotes" if "string" in kinds and kind in {"number", "boolean"} else ""
            self._add(node, path, f"is {KINDS[kind]}, but must be {wanted}{quotes}.")
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
            self._add(key, path, "cannot be a key here. If it is text, put it in quotes.")
        elif key.value in seen:
            self._add(key, path, "is there twice.")
        elif schema.get("additionalProperties") is False and key.value not in schema["properties"]:
            close = [f" Did you mean `{name}`?" for name in get_close_matches(key.value[:40], schema["properties"], 1)]
            known = ", ".join(f"`{name}`" for name in schema["properties"])
            self._add(key, path, f"is not a key that is known here.{''.join(close)} Known are {known}.")
        else:
            self._text(key, schema.get("propertyNames", {}), path)
            return True
        return False

    def _sequence(self, node: yaml.SequenceNode, schema: Schema, path: str) -> list[Any]:
        items = schema.get("items", {})
        values = [self.value(item, items, f"{path}[{index}]") for index, item in enumerate(node.value)]
        if len(values) < schema.get("minItems", 0):
            self._add(node, path, "is empty.")
        for name in items.get("required", ()):
            for index in _repeated([value.get(name) if isinstance(value, dict) else None for value in values]):
                self._add(node.value[index], f"{path}[{index}]", f"has the same `{name}` as one before it.")
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
            value: bool | int | float | None = yaml.constructor.SafeConstructor().construct_object(node)
        except (ValueError, LookupError, ArithmeticError):
            value = float("nan")
        if value is not None and not (isfinite(value) if isinstance(value, float) else abs(value) < 2**63):
            self._add(node, path, "is not a number that can be passed on. Put it in quotes.")
        elif value not in schema.get("enum", [value]):
            self._add(node, path, schema["errorMessage"])
        return value

    def _add(self, node: yaml.Node, path: str, message: str) -> None:
        if len(self.faults) == MAX_FAULTS:
            raise _TooManyError
        self.faults.append((f"{f'`{path}`' if path else 'The file'} {message}", _line(node.start_mark)))


def _kind(node: yaml.Node) -> str | None:
    """Return the JSON type of a node, None when it has none."""
    name = node.tag.removeprefix(TAG)
    if isinstance(node, yaml.ScalarNode):
        return TYPES.get(name)
    if isinstance(node, yaml.MappingNode):
        return "object" if name == "map" else None
    return "array" if name == "seq" else None


def _shown(key: yaml.Node) -> str:
    written = key.value if isinstance(key, yaml.ScalarNode) else "?"
    return "".join(char if char.isprintable() and char != "`" else "?" for char in written[:60])


def _repeated(names: list[str | None]) -> Iterator[int]:
    """Yield the places of names that stand further in front too; paths are the same however they are written."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name is not None:
            same = posixpath.normpath(name)
            if same in seen:
                yield index
            seen.add(same)


def mapping(text: bytes | None) -> dict[str, Any]:
    """Return the mapping at the top of a YAML text, an empty one when there is none."""
    loaded = load(text)
    return loaded if isinstance(loaded, dict) else {}


def listed(value: object) -> list[Any]:
    """Return a list; dbt takes a single value for a list of one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def literal(value: object) -> str | None:
    """Return a literal string; a Jinja expression is none, only dbt knows its value."""
    return value if isinstance(value, str) and value and "{{" not in value else None


def join(base: str, path: str) -> str | None:
    """Return `path` seen from `base` as a path in the repository (`""` is its root), None when it leaves the repository."""
    joined = posixpath.normpath(posixpath.join(base, path)) if not path.startswith("/") else "/"
    if joined == ".." or joined.startswith(("/", "../")):
        return None
    return "" if joined == "." else joined


def is_below(path: str, directory: str) -> bool:
    """Tell whether a path is below a directory; everything is below `""`."""
    return not directory or path.startswith(directory + "/")
