"""The names with which dbt builds the names of tables: known ones, and what stands in their place if they are unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TOKEN = "freshetunknown"  # noqa: S105 - a word
"""In every text that stands in the place of an unknown one, also in `app/runner/program/freshet_placeholder_values.py`."""


def unknown(what: str) -> str:
    """The text in the place of an unknown name.

    >>> unknown("database")
    'freshetunknown_database'
    """
    return f"{TOKEN}_{what}"


def is_known(text: str) -> bool:
    """Whether a text was built without unknown ones. Macros may change the case and the punctuation of names."""
    return TOKEN not in text and TOKEN not in text.casefold()


@dataclass(frozen=True, slots=True)
class GivenName:
    """A name, and the file that has it: a profile, or `.github/freshet.yml`."""

    text: str
    source: Literal["profile", "settings"]


@dataclass(frozen=True, slots=True)
class WarehouseNames:
    """`target.database` and `target.schema`, as dbt calls them for every adapter; None: unknown."""

    database: GivenName | None = None
    schema: GivenName | None = None


UNKNOWN = WarehouseNames()
