"""Reading what people write into a project's YAML files: values that may be missing, of another type, or Jinja.

The people are strangers and the reader is our own process, so everything has a bound before any of it is built: the depth, and the size
that is left when each alias is written out (https://en.wikipedia.org/wiki/Billion_laughs_attack).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
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
MAX_NUMBER = 16
"""Characters of a number, a longer one stays text: numbers from 2**61 on can be chosen so that a dict of them takes minutes."""


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
        line = line_of(error.problem_mark or error.context_mark)  # an end that comes too soon is for libyaml on a line of its own
        raise NotYamlError(f"is not YAML ({reason})", min(line or 1, len(text.splitlines()))) from error
    except yaml.YAMLError as error:
        raise NotYamlError("is not YAML (there are control characters)") from error
    return node


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
                raise NotYamlError("has an alias of itself, or of nothing", line_of(event.start_mark))
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
            raise NotYamlError("is too long with its aliases written out, or nested too deep", line_of(event.start_mark))


def line_of(mark: Any) -> int | None:
    """Return the line of one of PyYAML's marks, from 1."""
    return mark.line + 1 if mark else None


def _short(construct: Callable[[Any, yaml.ScalarNode], object]) -> Callable[[Any, yaml.ScalarNode], object]:
    def constructor(loader: Any, node: yaml.ScalarNode) -> object:
        return construct(loader, node) if len(node.value) <= MAX_NUMBER else node.value

    return constructor


_Loader: Any = type("_Loader", (getattr(yaml, "CSafeLoader", yaml.SafeLoader),), {})
_Loader.add_constructor("tag:yaml.org,2002:int", _short(yaml.SafeLoader.construct_yaml_int))
_Loader.add_constructor("tag:yaml.org,2002:float", _short(yaml.SafeLoader.construct_yaml_float))


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


def part(content: bytes, offset: int, limit: int) -> tuple[int, bytes]:
    """Return at most `limit` bytes of UTF-8 from `offset` on, and where they begin: no character is cut, so both may move a little.

    An offset inside a character goes on to the next one, one behind the end to the end. With a `limit` of 4 or more there is progress.
    """
    begin = min(offset, len(content))
    while begin < len(content) and _is_inside(content[begin]):
        begin += 1
    end = min(begin + limit, len(content))
    while begin < end < len(content) and _is_inside(content[end]):
        end -= 1
    return begin, content[begin:end]


def _is_inside(byte: int) -> bool:
    """Tell whether a byte goes on with a character: https://www.rfc-editor.org/rfc/rfc3629#section-3."""
    return byte & 0xC0 == 0x80  # noqa: PLR2004 - bits of the encoding
