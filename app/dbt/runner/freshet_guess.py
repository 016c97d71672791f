"""What to put where a project asks for a value that nobody gave: always the same for the same name, so that lineages stay comparable."""

from __future__ import annotations

import re

DATE = re.compile(r"(?:^|_)(?:DATE|DATETIME|TIMESTAMP)(?:_|$)")
NUMBER = re.compile(
    r"(?:^|_)(?:PORT|THREADS?|SECONDS|MINUTES|HOURS|DAYS|WEEKS|MONTHS|YEARS|COUNT|LIMIT|SIZE|NUM|NUMBER|TIMEOUT|RETRIES|OFFSET|LOOKBACK"
    r"|THRESHOLD|PERCENT|INTERVAL|MAX|MIN)$|^(?:NUM|NUMBER|MAX|MIN)_"
)
BOOL = re.compile(r"^(?:IS|USES?|HAS|SHOULD|ALLOW|ENABLED?|DISABLED?|SKIP)(?:_|$)|_(?:ENABLED?|DISABLED?|FLAG)$")
NEGATIVE = re.compile(r"^(?:DISABLED?|SKIP)(?:_|$)|_DISABLED?$")
"""No is the answer that leaves the most in the graph."""
DATE_VALUE = "2020-01-01"
MAX_TEXT = 40


def env_var(name: str, wants: str | None) -> str:
    """Return a placeholder for an environment variable: `wants` as in `freshet_scan.Use`.

    >>> env_var("WAREHOUSE_PORT", None), env_var("IS_PROD", None), env_var("RAW_DB", "number"), env_var("RAW_DB", None)
    ('1', 'True', '1', 'raw_db')
    """
    kind = wants if wants in ("number", "bool", "json") else by_name(name)
    if kind == "bool":
        return str(_truth(name))
    return {"number": "1", "json": "{}", "date": DATE_VALUE}.get(kind, text(name))


def var(name: str, wants: str | None) -> object:
    """Return a placeholder for a variable, of the type that it is used as.

    >>> var("countries", "list"), var("days", "number"), var("options", "dict"), var("start_date", None), var("schema", None)
    ([], 1, {}, '2020-01-01', 'schema')
    """
    kind = wants or by_name(name)
    if kind == "bool":
        return _truth(name)
    if kind in ("list", "dict"):
        return [] if kind == "list" else {}
    return {"number": 1, "json": "{}", "date": DATE_VALUE}.get(kind, text(name))


def by_name(name: str) -> str | None:
    """Return what a name sounds like: date, number, bool, or None for a text."""
    words = _words(name)
    found = (kind for kind, pattern in (("date", DATE), ("number", NUMBER), ("bool", BOOL)) if pattern.search(words))
    return next(found, None)


def text(name: str) -> str:
    """Return a text that is recognised and that may stand for a schema, a database or an address's part."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:MAX_TEXT].rstrip("_") or "placeholder"
    return "_" + plain if plain[0].isdigit() else plain


def _words(name: str) -> str:
    """Return the words of a name in capitals, with `_` between them. dbt's own prefix says nothing."""
    words = re.findall(r"[A-Z0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).upper())
    return "_".join(words[1:] if words[:1] == ["DBT"] else words)


def _truth(name: str) -> bool:
    return NEGATIVE.search(_words(name)) is None
