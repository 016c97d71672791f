"""Converts rows to records, and records to JSON columns.

A JSON column of an extraction that cannot be read costs that extraction what it says, and nobody else anything: it counts as empty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import asyncpg
import msgspec

from app.core import log
from app.core.models.comparisons import Base
from app.core.models.connections import Connection
from app.core.models.extractions import RESULT_MISSING, Attempt, Extraction, Facts, Problem, StageTime
from app.core.models.github import Repository
from app.lineage.nodes import storable
from app.lineage.search.entries import SearchedNode, read_node

Value = TypeVar("Value")

logger = log.get(__name__)


class _StoredResult(msgspec.Struct):
    """What every reader of the result of a success relies on."""

    counts: dict[str, int]
    edges: int
    change: dict[str, Any] | None
    project_dir: str | None
    project_name: str | None
    dbt_version: str | None
    adapter_type: str | None
    notes: list[str] = []
    remarks: list[dict[str, Any]] = []
    placeholders: list[dict[str, Any]] = []
    columns: dict[str, Any] | None = None
    impact: dict[str, Any] | None = None


def repository(row: asyncpg.Record) -> Repository:
    """Convert the columns `repository_id`, `full_name`, `installation_id`, `default_branch`, `private`."""
    return Repository(row["repository_id"], row["full_name"], row["installation_id"], row["default_branch"], row["private"])


def connection(row: asyncpg.Record) -> Connection:
    """Convert a row of a statement in `connections.sql`."""
    return Connection(
        id=str(row["id"]),
        repository=repository(row),
        project_dir=row["project_dir"],
        branch=row["branch"],
        created_at=row["created_at"],
        manual=row["by_hand"],
        project_name=row["project_name"],
        head_sha=row["head_sha"],
        stale_since=row["stale_since"],
        signed_series=row["signed_series"],
        lineage_sha=row["lineage_sha"],
        lineage_branch=row["lineage_branch"],
        extracted_at=row["extracted_at"],
        head_status=row["head_status"],
        head_problem=row["head_problem"],
    )


def searched_node(row: asyncpg.Record) -> SearchedNode:
    """Convert the columns `content` (which may be NULL), `unique_id`, `resource_type`, `name`, `package_name`."""
    names = row["unique_id"], row["resource_type"], row["name"], row["package_name"]
    known = SearchedNode(unique_id=names[0], resource_type=names[1], name=names[2], package_name=names[3])
    return read_node(row["content"], known)


def extraction(row: asyncpg.Record) -> Extraction:
    """Convert a row of a statement in `extractions.sql`."""
    result: dict[str, Any] = _readable(row, "result", lambda text: msgspec.json.decode(text, type=dict[str, Any]), dict[str, Any]())
    problem = _readable(row, "problem", lambda text: None if text is None else msgspec.json.decode(text, type=Problem), None)
    if row["status"] == "succeeded" and not is_result(result):
        logger.warning("the result of an extraction is missing", **{log.EXTRACTION: str(row["id"])})
        result, problem = {}, RESULT_MISSING
    return Extraction(
        id=str(row["id"]),
        number=row["number"],
        connection_id=str(row["connection_id"]),
        repository=repository(row),
        branch=row["branch"],
        sha=row["sha"],
        project_dir=row["project_dir"],
        status=row["status"],
        trigger=row["trigger"],
        created_at=row["created_at"],
        stage=row["stage"],
        stages=_readable(row, "stages", lambda text: _stages(text, row["finished_at"]), ()),
        attempt=row["attempt"],
        forced=row["forced"],
        siblings=max(row["siblings"], 1),
        followed=bool(row["followed"]),
        repository_selection=row["repository_selection"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        problem=problem,
        result=result,
        tries=_readable(row, "tries", lambda text: msgspec.json.decode(text, type=tuple[Attempt, ...]), ()),
        facts=_readable(row, "facts", lambda text: msgspec.json.decode(text, type=Facts), Facts()),
        base=_readable(row, "base", base, None),
        background=row["background"],
        delivery_id=row["delivery_id"],
        traceparent=row["traceparent"],
    )


def is_result(value: object) -> bool:
    """Whether the decoded column `extractions.result` is what a success leaves."""
    try:
        msgspec.convert(value, _StoredResult)
    except msgspec.ValidationError:
        return False
    return True


def _readable(row: asyncpg.Record, column: str, convert: Callable[[Any], Value], empty: Value) -> Value:
    try:
        return convert(row[column])
    except msgspec.DecodeError as error:
        logger.warning("part of an extraction cannot be read", **{log.EXTRACTION: str(row["id"])}, column=column, reason=str(error))
        return empty


def base(text: str | None) -> Base | None:
    """Convert the column `extractions.base`."""
    return None if text is None else msgspec.json.decode(text, type=Base)


def _stages(text: str, finished_at: datetime | None) -> tuple[StageTime, ...]:
    """Convert the stages. In a cancelled extraction the last one has no end, so it ends with the extraction."""
    stages = msgspec.json.decode(text, type=tuple[StageTime, ...])
    return tuple(replace(stage, ended_at=stage.ended_at or finished_at) for stage in stages) if finished_at else stages


def to_json(value: Sequence[StageTime] | Problem | Facts | Base | dict[str, Any] | None) -> str | None:
    """Encode a JSON column. NUL characters, which PostgreSQL cannot store, are replaced."""
    if value is None:
        return None
    text = msgspec.json.encode(value).decode()
    return msgspec.json.encode(storable(msgspec.json.decode(text))).decode() if "\\u0000" in text else text
