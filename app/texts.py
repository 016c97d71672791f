"""Reading what people write into a project's YAML files: values that may be missing, of another type, or Jinja."""

from __future__ import annotations

import posixpath
from typing import Any

import yaml

UNREADABLE: Any = object()
"""Stands for a text that is no YAML."""


def load(text: bytes | None) -> Any:
    """Return what a YAML text says, `UNREADABLE` when it is none."""
    try:
        return yaml.load(text, Loader=_LOADER) if text else None  # noqa: S506 - a safe loader, see _LOADER
    except (yaml.YAMLError, ValueError, RecursionError):
        return UNREADABLE


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
    if joined.startswith(("/", "..")):
        return None
    return "" if joined == "." else joined


def is_below(path: str, directory: str) -> bool:
    """Tell whether a path is below a directory; everything is below `""`."""
    return not directory or path.startswith(directory + "/")
