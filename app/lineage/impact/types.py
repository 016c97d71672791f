"""Types of columns, as SQL and YAML files spell them."""

from __future__ import annotations

import re

ALIASES = {
    "int": "integer",
    "int4": "integer",
    "int8": "bigint",
    "int64": "bigint",
    "int2": "smallint",
    "float8": "double",
    "float64": "double",
    "double precision": "double",
    "float4": "real",
    "bool": "boolean",
    "decimal": "numeric",
    "number": "numeric",
    "string": "text",
    "varchar": "text",
    "character varying": "text",
    "char varying": "text",
    "timestamptz": "timestamp with time zone",
    "timestamp without time zone": "timestamp",
}
"""Spellings of one type. Those that are one type in some warehouses only count as one: a doubtful difference is none."""
MAX_TYPE = 1000
_SPACES = re.compile(r"\s+")
_BEFORE_SIGN = re.compile(r" ?([(),<>]) ?")


def normalized(name: str) -> str:
    """A type in one spelling.

    >>> normalized("VARCHAR (20)"), normalized("int"), normalized("decimal( 10, 2 )")
    ('text(20)', 'integer', 'numeric(10,2)')
    """
    text = _BEFORE_SIGN.sub(r"\1", _SPACES.sub(" ", name[:MAX_TYPE].strip().casefold()))
    head, sign, rest = text.partition("(")
    return ALIASES.get(head, head) + sign + rest


def same_type(one: str | None, other: str | None) -> bool:
    """Whether two types are one, as far as is known."""
    return one == other or (one is not None and other is not None and normalized(one) == normalized(other))


def same_kind(one: str, other: str) -> bool:
    """Whether two types are one apart from their sizes: a contract does not compare these."""
    return normalized(one).partition("(")[0] == normalized(other).partition("(")[0]
