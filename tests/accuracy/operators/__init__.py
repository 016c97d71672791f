"""The operators that queries are made of, each of which knows its own edges; `ALL` has them by name.

`expressions` and `stars` compute columns, `joins` and `sets` combine relations, `predicates` choose rows, `groups` and `windows`
look at several rows, `nesting` is about names.
"""

from __future__ import annotations

import re

from tests.accuracy.building import Operator
from tests.accuracy.operators import expressions, groups, joins, nesting, predicates, sets, stars, windows

MODULES = (expressions, stars, joins, predicates, groups, windows, sets, nesting)
ABSTRACT = ("Operator", "OneRelation", "OnJoin", "Filtering", "Windowed")


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


ALL: dict[str, Operator] = {
    _words(kind.__name__): kind()
    for module in MODULES
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Operator) and kind.__name__ not in ABSTRACT
}
