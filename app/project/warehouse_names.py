"""The names of the database and the schema that a profile gives to dbt. Nothing else of a profile is read."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from app.core.models.warehouse import GivenName, WarehouseNames, is_known
from app.project.adapters import BY_TYPE, NameKeys
from app.project.expressions import Values, resolved
from app.project.repository_settings import ProjectSettings

MAX_NAME = 200
MOTHERDUCK, MOTHERDUCKS_DATABASE = ("md", "motherduck"), "my_db"
SECRET = "DBT_ENV_SECRET"  # noqa: S105 - a prefix
_FILE = re.compile(r"[^/.\\]{1,100}")


def names(adapter_type: str, output: Mapping[str, Any] | None, settings: ProjectSettings) -> WarehouseNames:
    """Return the names from `.github/freshet.yml`, else those of a profile's output; None: there is no profile."""
    adapter = BY_TYPE.get(adapter_type)
    keys = adapter.names if adapter else NameKeys()
    database = _set(settings.database) or (None if output is None else _database(keys, output, settings))
    schema = _set(settings.schema) or (None if output is None else _named(output, keys.schema, keys.default_schema, settings))
    if keys.database_is_path and database is not None and not _FILE.fullmatch(database.text):
        database = None
    return WarehouseNames(database if keys.database else None, schema)


def _set(name: str | None) -> GivenName | None:
    return GivenName(name, "settings") if name and is_known(name) else None


def _database(keys: NameKeys, output: Mapping[str, Any], settings: ProjectSettings) -> GivenName | None:
    if not keys.database_is_path or "database" in output or output.get("path") in (None, ":memory:"):
        return _named(output, keys.database, keys.default_database, settings)
    path = evaluated(output["path"], settings)
    return path and _given(_file_name(path.text), path.source)


def _named(output: Mapping[str, Any], keys: tuple[str, ...], default: str | None, settings: ProjectSettings) -> GivenName | None:
    found = next((output[key] for key in keys if output.get(key) is not None), None)
    return evaluated(default if found is None else found, settings)


def evaluated(value: object, settings: ProjectSettings) -> GivenName | None:
    """Return a value of a profile in which every `env_var()` and `var()` is set in the settings, or has a default; else None."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or SECRET in value:
        return None
    text = resolved(value, Values(settings.environment, settings.variables))
    return _given(text, "profile" if text == resolved(value, Values()) else "settings")


def _given(text: str | None, source: Any) -> GivenName | None:
    """A text that can be a name."""
    text = text and text.strip()
    ok = text and text.isprintable() and len(text) <= MAX_NAME and "{{" not in text and "{%" not in text and is_known(text)
    return GivenName(text, source) if text and ok else None


def _file_name(path: str) -> str | None:
    """The name of the database at a path of DuckDB, as its adapter determines it.

    >>> [_file_name(path) for path in ("../data/shop.v2.duckdb", "md:", "md:shop?motherduck_token=x", "ducklake:sqlite:x.db")]
    ['shop', 'my_db', 'shop', None]
    """
    try:
        parts = urlsplit(path)
    except ValueError:
        return None
    name = posixpath.basename(parts.path)
    if parts.scheme.lower() in MOTHERDUCK:
        return name or MOTHERDUCKS_DATABASE
    return None if parts.scheme.lower() == "ducklake" else name.lstrip(".").split(".")[0]
