"""Placeholders for missing values: always the same for the same name, so that lineages stay comparable."""

from __future__ import annotations

import copy
import json
import re

DATE = re.compile(r"(?:^|_)(?:DATE|DATETIME|TIMESTAMP)(?:_|$)")
NUMBER = re.compile(
    r"(?:^|_)(?:PORT|THREADS?|SECONDS|MINUTES|HOURS|DAYS|WEEKS|MONTHS|YEARS|COUNT|LIMIT|SIZE|NUM|NUMBER|TIMEOUT|RETRIES|OFFSET|LOOKBACK"
    r"|THRESHOLD|PERCENT|INTERVAL|MAX|MIN)$|^(?:NUM|NUMBER|MAX|MIN)_"
)
BOOL = re.compile(r"^(?:IS|USES?|HAS|SHOULD|ALLOW|ENABLED?|DISABLED?|SKIP)(?:_|$)|_(?:ENABLED?|DISABLED?|FLAG)$")
NEGATIVE = re.compile(r"^(?:DISABLED?|SKIP)(?:_|$)|_DISABLED?$")
"""False for these keeps more of the graph."""
DATE_VALUE = "2020-01-01"
MAX_TEXT = 40
TOKEN = "freshetunknown"  # noqa: S105 - a word
"""In every text, so that a name of a table that was made of a placeholder is recognized: `app/lineage/relations.py`. Letters only, because
macros change the case and the punctuation of names."""
NAME = "name"
"""Wanted for a name of a schema, table and so on: a text, whatever the variable's own name suggests."""


def env_var(name: str, wants: str | None) -> str:
    """Return a placeholder for an environment variable: `wants` as in `freshet_scan.Use`.

    >>> env_var("WAREHOUSE_PORT", None), env_var("IS_PROD", None), env_var("RAW_DB", "number"), env_var("RAW_DB", None)
    ('1', 'True', '1', 'freshetunknown_raw_db')
    """
    kind = wants if wants in ("number", "bool", "json", NAME) else by_name(name)
    if kind == "bool":
        return str(_truth(name))
    return {"number": "1", "json": "{}", "date": DATE_VALUE}.get(kind, text(name))


class Mapping(dict):
    """A mapping in which every key has an entry: `other` is what is read of those that are not in it."""

    def __init__(self, found: dict, other: list) -> None:
        super().__init__(found)
        self._other = other

    def __missing__(self, key: object) -> object:
        """Return an entry like those that are read by computed keys."""
        return _entry(str(key), self._other)

    @property
    def other(self) -> list:
        """What is read of entries by other keys."""
        return self._other


def in_full(value: object) -> object:
    """Return everything that decides how a value behaves: a mapping with what its missing entries would be."""
    if isinstance(value, dict):
        return [(key, in_full(entry)) for key, entry in value.items()], value.other if isinstance(value, Mapping) else None
    return [in_full(entry) for entry in value] if isinstance(value, list) else value


def copied(value: object) -> object:
    """Return a value of its own, because Jinja can modify it."""
    return copy.deepcopy(value) if isinstance(value, (list, dict)) else value


def shown(value: object) -> str:
    """Return a value as people read it, and as YAML reads it unless it is a plain text."""
    return value if isinstance(value, str) and not value.startswith(("{", "[")) else json.dumps(value, ensure_ascii=False)


def var(name: str, wants: str | None, entries: tuple = ()) -> object:
    """Return a placeholder for a variable, of the type with which it is used; `entries` as in `freshet_scan.Use`.

    >>> var("countries", "list"), var("days", "number"), var("options", "dict"), var("start_date", None), var("schema", None)
    ([], 1, {}, '2020-01-01', 'freshetunknown_schema')
    """
    kind = wants or by_name(name)
    if kind == "bool":
        return _truth(name)
    if kind == "list":
        return []
    if kind == "items":
        return [_entry(name, [entry._replace(keys=entry.keys[1:]) for entry in entries if entry.keys[0] == 0])]
    if kind == "dict":
        return _mapping(entries)
    if kind == "json" and entries:
        return json.dumps(_mapping(entries))
    return {"number": 1, "json": "{}", "date": DATE_VALUE}.get(kind, text(name))


def _mapping(entries: object) -> Mapping:
    inner = {}  # type: dict[object, list]
    for entry in entries:
        inner.setdefault(entry.keys[0], []).append(entry._replace(keys=entry.keys[1:]))
    other = inner.pop(None, [])
    return Mapping({key: _entry(str(key), found) for key, found in inner.items()}, other)


def _entry(key: str, reads: list) -> object:
    """Return the value of one entry, which is used as `reads` say."""
    deeper = tuple(read for read in reads if read.keys)
    if deeper:
        return var(key, "items" if all(read.keys[0] == 0 for read in deeper) else "dict", deeper)
    if reads and all(read.tested for read in reads):
        return False  # as None is, which dbt gives for a variable that is only a condition
    wants = next((kind for kind in ("dict", "list", "json", "number", "bool", NAME) if kind in {read.wants for read in reads}), None)
    return var(key, wants)


def by_name(name: str) -> str | None:
    """Return the type that a name suggests: date, number, bool, or None for a text."""
    words = _words(name)
    found = (kind for kind, pattern in (("date", DATE), ("number", NUMBER), ("bool", BOOL)) if pattern.search(words))
    return next(found, None)


def text(name: str) -> str:
    """Return a recognizable text that is valid as a schema, a database or a part of an address."""
    return "_".join([TOKEN, *re.findall(r"[a-z0-9]+", name.lower()[:MAX_TEXT])])


def _words(name: str) -> str:
    """The words of a name in upper case, joined by `_`, without dbt's own prefix."""
    words = re.findall(r"[A-Z0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).upper())
    return "_".join(words[1:] if words[:1] == ["DBT"] else words)


def _truth(name: str) -> bool:
    return NEGATIVE.search(_words(name)) is None
