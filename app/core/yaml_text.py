"""Reads the YAML files of projects, where values may be missing, of another type, or Jinja.

The files are untrusted, so the depth, and the size with all aliases expanded, are limited before anything is built from them
(https://en.wikipedia.org/wiki/Billion_laughs_attack).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any

import yaml

UNREADABLE: Any = object()
"""Stands for a text that is not YAML, or exceeds a limit."""

MAX_DEPTH = 64
MAX_SIZE = 2 << 20
"""Characters of all values and tags with aliases expanded, plus `VALUE_SIZE` for each: about 50,000 short values, or half a second."""
VALUE_SIZE = 40
MAX_TAG_DIRECTIVES = 16
"""libyaml compares each `%TAG` with all earlier ones."""
MAX_NUMBER = 16
"""Characters of a number; longer ones stay text, because from 2**61 on, numbers can be chosen that make a dict take minutes."""


class NotYamlError(ValueError):
    """A text is not YAML, or exceeds a limit. `reason` continues "The file": "is not UTF-8"; `line` counts from 1."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


def load(text: bytes | None) -> Any:
    """The value of a YAML text; None if it is empty, `UNREADABLE` if it is not YAML or exceeds a limit."""
    if not text:
        return None
    try:
        return yaml.load(_bounded(text), Loader=_Loader)  # noqa: S506 - a safe loader, see _Loader
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, ArithmeticError, TypeError, RecursionError):
        # PyYAML raises the last five for `!!int ''`, `!!bool x`, `!!timestamp x`, dates that do not exist and so on.
        return UNREADABLE


def compose(text: bytes) -> yaml.Node | None:
    """The root node of a YAML text, with line numbers; None if the text is empty. Raises NotYamlError."""
    try:
        node: yaml.Node | None = yaml.compose(_bounded(text), Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        line = line_of(error.problem_mark or error.context_mark)  # libyaml reports an unexpected end on a line after the last one
        raise NotYamlError(f"is not valid YAML ({reason})", min(line or 1, len(text.splitlines()))) from error
    except yaml.YAMLError as error:
        raise NotYamlError("is not valid YAML (it contains control characters)") from error
    return node


def _bounded(text: bytes) -> str:
    """The decoded text, if it is within the limits. Raises NotYamlError."""
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
                raise NotYamlError("has an alias without a preceding anchor", line_of(event.start_mark))
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
            raise NotYamlError("is too large with its aliases expanded, or nested too deeply", line_of(event.start_mark))


def line_of(mark: Any) -> int | None:
    """The line of a mark of PyYAML, from 1."""
    return mark.line + 1 if mark else None


def _short(construct: Callable[[Any, yaml.ScalarNode], object]) -> Callable[[Any, yaml.ScalarNode], object]:
    def constructor(loader: Any, node: yaml.ScalarNode) -> object:
        return construct(loader, node) if len(node.value) <= MAX_NUMBER else node.value

    return constructor


_Loader: Any = type("_Loader", (getattr(yaml, "CSafeLoader", yaml.SafeLoader),), {})
_Loader.add_constructor("tag:yaml.org,2002:int", _short(yaml.SafeLoader.construct_yaml_int))
_Loader.add_constructor("tag:yaml.org,2002:float", _short(yaml.SafeLoader.construct_yaml_float))


def mapping(text: bytes | None) -> dict[str, Any]:
    """The mapping at the top of a YAML text; empty if there is none."""
    loaded = load(text)
    return loaded if isinstance(loaded, dict) else {}


def listed(value: object) -> list[Any]:
    """A list; like dbt, takes a single value as a list of one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def literal(value: object) -> str | None:
    """A string; None for anything else and for Jinja expressions, whose value only dbt knows."""
    return value if isinstance(value, str) and value and "{{" not in value else None


def join(base: str, path: str) -> str | None:
    """`path`, relative to `base`, as a path in the repository (`""` is its root); None if it leaves the repository."""
    joined = posixpath.normpath(posixpath.join(base, path)) if not path.startswith("/") else "/"
    if joined == ".." or joined.startswith(("/", "../")):
        return None
    return "" if joined == "." else joined


def is_below(path: str, directory: str) -> bool:
    """True if a path is below a directory; everything is below `""`."""
    return not directory or path.startswith(directory + "/")


def part(content: bytes, offset: int, limit: int) -> tuple[int, bytes]:
    """The start and content of at most `limit` bytes of UTF-8 from `offset` on, without cutting a character.

    An offset inside a character moves to the next character, one after the end to the end. A `limit` of at least 4 guarantees progress.
    """
    begin = min(offset, len(content))
    while begin < len(content) and _is_inside(content[begin]):
        begin += 1
    end = min(begin + limit, len(content))
    while begin < end < len(content) and _is_inside(content[end]):
        end -= 1
    return begin, content[begin:end]


def _is_inside(byte: int) -> bool:
    """True for a continuation byte: https://www.rfc-editor.org/rfc/rfc3629#section-3."""
    return byte & 0xC0 == 0x80  # noqa: PLR2004 - bits of the encoding
