"""Functions in FROM: `flatten`, `unnest`, `openjson`, `generate_series`. Their columns depend on their arguments."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns.canonical import digest
from freshet_columns.digests import made
from freshet_columns.queries import Work, evaluated
from freshet_columns.relations import Field, Relation
from freshet_columns.scopes import Scope
from freshet_columns.values import TRANSFORMATION, counted

HARMLESS = frozenset(
    """
    string_split openjson numbers numbers_mt zeros range generate_series generate_date_array split_to_table strtok_split_to_table
    flatten unnest explode values generator json_table json_each json_array_elements jsonb_array_elements jsonb_each
    jsonb_each_text json_each_text jsonb_array_elements_text json_array_elements_text jsonb_to_recordset json_to_recordset
    regexp_matches regexp_split_to_table string_to_table read_csv read_csv_auto read_parquet read_json read_json_auto glob inline
    posexplode stack json_tuple sequence xmltable url s3 generate_subscripts null
    """.split()  # noqa: SIM905
)
"""Functions that read nothing but their arguments (or files)."""
HARMLESS_PREFIXES = ("json", "regexp_", "st_", "string_", "generate_", "read_", "split", "array")
FLATTENED = "seq key path index value this"
COLUMNS = {
    "split_to_table": "seq index value",
    "strtok_split_to_table": "seq index value",
    "string_split": "value ordinal",
    "openjson": "key value type",
    **dict.fromkeys(("json_each", "jsonb_each", "json_each_text", "jsonb_each_text"), "key value"),
    **dict.fromkeys(
        ("json_array_elements", "jsonb_array_elements", "json_array_elements_text", "jsonb_array_elements_text"),
        "value",
    ),
}
"""The columns of functions that always have the same."""
SCALARS = frozenset("generate_series range regexp_matches regexp_split_to_table string_to_table generate_subscripts".split())  # noqa: SIM905
"""Functions of one column, which has the function's name, or in PostgreSQL that of the alias."""
OF_DIALECT = {
    ("snowflake", "explode"): FLATTENED,
    ("snowflake", "flatten"): FLATTENED,
    ("duckdb", "json_each"): "key value type atom id parent fullkey path",
}


def function(node: Any, scope: Scope) -> Work:
    """The relation of a function: known columns, or any column that is asked of it."""
    call = node.this if isinstance(node, (exp.Table, exp.Lateral, exp.TableFromRows)) else node
    if node.args.get("rows_from"):
        call = exp.Tuple(expressions=[item.this.copy() for item in node.args["rows_from"]])
    if not isinstance(call, exp.Expr):
        scope.run.note("the name of a table is missing")
        return Relation([], wild={})
    if isinstance(call, (exp.Var, exp.Literal, exp.Parameter, exp.Placeholder)):
        return scope.run.outside(str(call.name), str(call.name))
    if isinstance(call, exp.Anonymous) and call.name.lower() not in HARMLESS and not call.name.lower().startswith(HARMLESS_PREFIXES):
        scope.run.note(f"the table function `{call.name}` may read tables that the SQL does not name")
    value = yield from evaluated(call, scope, TRANSFORMATION)
    key = scope.run.folding.key
    origin = scope.run.made_of("function", digest(call, scope))
    columns = _columns(call, node.alias, scope)
    fields = [Field(name, key(name, False), value, digest=made("column", origin.rows, name)) for name in columns]  # noqa: FBT003
    has_more = not fields and not isinstance(call, exp.Generator)
    relation = Relation(fields, (), counted(value), value if has_more else None, origin)
    relation.of_function = True
    return relation


def _columns(call: Any, alias: str, scope: Scope) -> list[str]:
    """The names of the columns; none if they are not known."""
    dialect, name = scope.run.facts.dialect, _name(call)
    if isinstance(call, exp.OpenJSON) and call.expressions:
        return [column.name for column in call.expressions]
    if name in SCALARS:
        return [alias if alias and dialect in ("postgres", "redshift") else "id" if (dialect, name) in _IDS else name]
    if name == "string_split" and dialect not in ("tsql", "fabric"):
        return []
    return (OF_DIALECT.get((dialect, name)) or COLUMNS.get(name) or "").split()


def _name(call: Any) -> str:
    if isinstance(call, exp.Anonymous):
        return str(call.name).lower()
    if isinstance(call, exp.GenerateSeries) and call.args.get("is_end_exclusive"):
        return "range"
    return _NAMES.get(type(call)) or (call.sql_name().lower() if isinstance(call, exp.Func) else "")


_IDS = {("spark", "range"), ("databricks", "range")}
_NAMES = {exp.OpenJSON: "openjson", exp.ExplodingGenerateSeries: "generate_series"}
