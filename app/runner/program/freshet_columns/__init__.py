"""Column lineage of SQL: which columns a query makes, what each depends on, and how sure that is. Needs sqlglot only.

`parsing` reads the text, `analysis` sums up; `queries` evaluates queries of all kinds without recursion, each kind in its own
module: `selects` (with `joins`, `tables`, `stars`, `pivots`), `set_operations`, `ctes`; `scopes` finds what a name means,
`expressions` what an expression depends on (with `structs`, `date_units`); `values` and `relations` hold the results, `run` the state
of one analysis; `names` and `dialects` say what differs between warehouses, `data_types` and `output_names` what the SQL says about
types and names; `demand` carries columns that models ask of open tables up to the sources; `model` has the types of all this.
`digests` has the digests by which two commits are compared: `canonical` makes them of expressions (with `canonical_names`,
`canonical_calls`, `descriptions`), `row_digests` of what decides about rows; `sources` tells readings of the same table apart.
"""

from __future__ import annotations

from freshet_columns.analysis import VERSION, analyse
from freshet_columns.demand import Carried, carry_demand
from freshet_columns.dialects import DIALECTS
from freshet_columns.digests import doubted
from freshet_columns.model import Analysis, Catalog, Column, Edge, Star, Table
from freshet_columns.output_names import output_names

__all__ = [
    "DIALECTS",
    "VERSION",
    "Analysis",
    "Carried",
    "Catalog",
    "Column",
    "Edge",
    "Star",
    "Table",
    "analyse",
    "carry_demand",
    "doubted",
    "output_names",
]
