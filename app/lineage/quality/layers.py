"""The layers of a project, as dbt's guide and dbt-project-evaluator have them: by the prefix of a name, or by the nearest folder.

https://docs.getdbt.com/best-practices/how-we-structure/1-guide-overview. The guide gives marts the plain names of what they are about, and
dbt-project-evaluator demands `fct_` or `dim_`: here, both are right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Layer = Literal["base", "staging", "intermediate", "marts"]

PREFIXES: Mapping[str, Layer] = {
    "base_": "base",
    "stg_": "staging",
    "int_": "intermediate",
    "fct_": "marts",
    "dim_": "marts",
}
FOLDERS: Mapping[str, Layer] = {name: name for name in ("base", "staging", "intermediate", "marts")}
PREFIXED: frozenset[Layer] = frozenset({"base", "staging", "intermediate"})
"""Layers whose models need a prefix."""
INSIDE: frozenset[tuple[Layer, Layer]] = frozenset({("base", "staging")})
"""A layer whose models may be in the folder of another one: base models are part of staging."""


def by_name(name: str) -> Layer | None:
    """The layer that a model's prefix names.

    >>> by_name("stg_orders"), by_name("fct_orders"), by_name("orders")
    ('staging', 'marts', None)
    """
    return PREFIXES.get(f"{name.partition('_')[0].lower()}_") if "_" in name else None


def by_folder(folder: str) -> Layer | None:
    """The layer of the nearest folder that is named like one.

    >>> by_folder("models/marts/finance"), by_folder("models/marts/finance/intermediate"), by_folder("models")
    ('marts', 'intermediate', None)
    """
    return next((FOLDERS[name] for part in reversed(folder.split("/")) if (name := part.lower()) in FOLDERS), None)


def is_misplaced(name: Layer | None, folder: Layer | None) -> bool:
    """Whether a model's prefix and its folder name different layers."""
    return None not in (name, folder) and name != folder and (name, folder) not in INSIDE
