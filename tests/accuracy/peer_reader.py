"""One other reader of lineage on many queries: a program for the Python that has it, `python peer_reader.py NAME < asked > answers`.

In: `{"tables": {name: {column: type}}, "queries": [{"sql", "dialect", "columns"}]}`. Out: for each query a list of
`[table, column, downstream column]`, or a text that says why there is none. Modules are imported by name, since they are in no
environment of ours. Every reader gets the schema of all tables and, where it wants them, the names of the query's columns.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import warnings
from typing import Any

SCHEMA = "raw"
Edges = set[tuple[str, str, str]]


def sqlglot_lineage(tables: dict[str, Any], query: dict[str, Any]) -> Edges:
    """`sqlglot.lineage`, a column at a time."""
    lineage, exp = importlib.import_module("sqlglot.lineage"), importlib.import_module("sqlglot").exp
    found: Edges = set()
    errors = 0
    for column in query["columns"]:
        try:
            node = _first(lambda name: lineage.lineage(name, query["sql"], schema={SCHEMA: tables}, dialect=query["dialect"]), column, exp)
            found |= _leaves(node, column)
        except Exception:  # noqa: BLE001 - whatever it fails with
            errors += 1
    return _unless_all_failed(found, errors, query)


def colibri(tables: dict[str, Any], query: dict[str, Any]) -> Edges:
    """The functions that dbt-colibri calls for each model."""
    own, parsing = (
        importlib.import_module("dbt_colibri.lineage_extractor.lineage"),
        importlib.import_module("dbt_colibri.utils.parsing_utils"),
    )
    exp = importlib.import_module("sqlglot").exp
    tree = parsing.parse_sql(query["sql"], dialect=query["dialect"])
    qualified, scope = own.prepare_scope(tree, schema={SCHEMA: tables}, dialect=query["dialect"])
    found: Edges = set()
    errors = 0
    for column in query["columns"]:
        try:
            node = _first(
                lambda name: own.lineage(name, qualified, schema={SCHEMA: tables}, dialect=query["dialect"], scope=scope), column, exp
            )
            found |= _leaves(node, column)
        except Exception:  # noqa: BLE001
            errors += 1
    return _unless_all_failed(found, errors, query)


def _first(ask: Any, column: str, exp: Any) -> Any:
    """The column by its name, or by its name in quotes."""
    try:
        return ask(column)
    except Exception:  # noqa: BLE001
        return ask(exp.column(column, quoted=True))


def _leaves(node: Any, column: str) -> Edges:
    return {
        (one.source.name.lower(), one.name.split(".")[-1].strip('"').lower(), column.lower())
        for one in node.walk()
        if not one.downstream and one.source.key == "table" and one.source.db
    }


def _unless_all_failed(found: Edges, errors: int, query: dict[str, Any]) -> Edges:
    if errors == len(query["columns"]):
        raise ValueError("no column could be read")
    return found


def sqllineage(tables: dict[str, Any], query: dict[str, Any]) -> Edges:
    """sqllineage, which reads statements that write."""
    runner, provider = importlib.import_module("sqllineage.runner"), importlib.import_module("sqllineage.core.metadata.dummy")
    metadata = provider.DummyMetaDataProvider({f"{SCHEMA}.{table}": list(columns) for table, columns in tables.items()})
    statement = f"create view {SCHEMA}.made as {query['sql']}"
    paths = runner.LineageRunner(statement, dialect=query["dialect"], metadata_provider=metadata).get_column_lineage()
    return {
        (str(path[0].parent).split(".")[-1].lower(), path[0].raw_name.strip('"`[]').lower(), path[-1].raw_name.strip('"`[]').lower())
        for path in paths
    }


def datahub(tables: dict[str, Any], query: dict[str, Any]) -> Edges:
    """DataHub's `sqlglot_lineage`."""
    parsing = importlib.import_module("datahub.sql_parsing.sqlglot_lineage")
    resolver = importlib.import_module("datahub.sql_parsing.schema_resolver")
    platform = {"tsql": "mssql"}.get(query["dialect"], query["dialect"])
    schemas = resolver.SchemaResolver(platform=platform)
    for table, columns in tables.items():
        urn = f"urn:li:dataset:(urn:li:dataPlatform:{platform},{SCHEMA}.{table},PROD)"
        schemas.add_raw_schema_info(urn, columns)
    result = parsing.sqlglot_lineage(query["sql"], schema_resolver=schemas, override_dialect=query["dialect"])
    error = result.debug_info.table_error or result.debug_info.column_error
    if error is not None:
        raise error
    return {
        (reference.table.split(",")[1].split(".")[-1].lower(), reference.column.lower(), info.downstream.column.lower())
        for info in result.column_lineage or []
        for reference in info.upstreams
    }


READERS = {"sqlglot": sqlglot_lineage, "dbt-colibri": colibri, "sqllineage": sqllineage, "DataHub": datahub}


def main(name: str) -> None:
    """Answer all queries."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    asked = json.load(sys.stdin)
    answers: list[Any] = []
    for query in asked["queries"]:
        try:
            answers.append(sorted(READERS[name](asked["tables"], query)))
        except Exception as error:  # noqa: BLE001 - whatever it fails with
            answers.append(f"{type(error).__name__}: {error}"[:200])
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
