"""The tables that all queries read: few rows and few different values, so that predicates are both true and false, and joins meet."""

from __future__ import annotations

import random
from typing import Any

SCHEMA = "raw"
TABLES = {
    "t": {"id": "int", "a": "int", "b": "int", "c": "int", "d": "int", "s": "text"},
    "u": {"id": "int", "x": "int", "y": "int", "z": "int", "s": "text"},
    "v": {"k": "int", "m": "int", "n": "int", "a": "int"},
}
"""Name and kind of the columns, in order. Some names are in several tables, on purpose."""
ROWS = 9
WORDS = ("ab", "cd", "ef", "abc", "x")
NULLS = 0.08

Data = dict[str, list[list[Any]]]


def cell(kind: str, r: random.Random) -> Any:
    """A value of a column: often equal to others, sometimes NULL."""
    if r.random() < NULLS:
        return None
    return r.choice(WORDS) if kind == "text" else r.randrange(8)


def data(seed: int) -> Data:
    """The rows of all tables; the column `id` numbers them."""
    r = random.Random(seed)
    return {
        table: [[number if name == "id" else cell(kind, r) for name, kind in columns.items()] for number in range(1, ROWS + 1)]
        for table, columns in TABLES.items()
    }
