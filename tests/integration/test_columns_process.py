"""Columns documents through the process that decodes them: what the pure functions say, in a file with rows for the database."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from app.core.errors import ColumnsError
from app.core.models.warehouse import UNKNOWN
from app.lineage import copy_format
from app.lineage.column_document import ColumnContent, StorableColumns, nodes_of
from app.lineage.nodes import HASH_BYTES, StorableLineage
from app.pipeline.decoding import pool as decoding
from app.pipeline.decoding.document_redaction import DocumentRedaction
from app.pipeline.decoding.inline import Inline
from app.pipeline.decoding.pool import Decoders
from tests.integration.test_manifest_process import IMAGE, LABEL, children, odd_manifest, spooled
from tests.unit.test_column_document import HEAD, document, line


@pytest_asyncio.fixture
async def decoders(tmp_path: Path) -> AsyncIterator[Decoders]:
    measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    async with decoding.serve(tmp_path, 2, {**decoding.ENVIRONMENT, **measured}) as made:
        yield made


@pytest_asyncio.fixture
async def lineage(decoders: Decoders, tmp_path: Path) -> AsyncIterator[StorableLineage]:
    spool = await spooled(odd_manifest(), tmp_path)
    found = await decoders.lineage(spool, UNKNOWN, LABEL, IMAGE)
    spool.close()
    yield found
    found.close()


def models(lineage: StorableLineage) -> list[str]:
    return sorted(one for one in lineage.unique_ids() if one.startswith("model."))


def of(lineage: StorableLineage, **changed: Any) -> bytes:
    """A document with a line of every model and one of the source, in an order of its own."""
    status = ("exact", "approximate", "unknown")
    lines = [line(one, **{"status": status[number % 3], "reason": one[:500], **changed}) for number, one in enumerate(models(lineage))]
    return document(*reversed(lines), line("source.shop.raw.a", edges=[], reused=False), line("model.shop.gone"))


async def read(using: Decoders | Inline, content: bytes, lineage: StorableLineage, directory: Path) -> StorableColumns:
    spool = await spooled(content, directory)
    try:
        return await using.columns(spool, lineage, LABEL, IMAGE)
    finally:
        spool.close()


async def test_a_lineage_knows_its_unique_ids(lineage: StorableLineage, tmp_path: Path) -> None:
    spool = await spooled(odd_manifest(), tmp_path)
    assert lineage.unique_ids() == (await Inline().lineage(spool, UNKNOWN, LABEL, IMAGE)).unique_ids()
    assert len(lineage.unique_ids()) == lineage.node_count
    spool.close()


@pytest.mark.parametrize("inline", [False, True], ids=["process", "inline"])
async def test_the_columns_of_the_lineage_are_in_the_file(
    decoders: Decoders,
    lineage: StorableLineage,
    tmp_path: Path,
    inline: bool,  # noqa: FBT001 - a parameter
) -> None:
    content = of(lineage, edges=[["source.shop.raw.a", "id", "id", "IDENTITY", True], ["model.evil.x", "id", "id", "IDENTITY", True]])
    found = await read(Inline() if inline else decoders, content, lineage, tmp_path)
    told = sorted(nodes_of(content, lineage.unique_ids(), DocumentRedaction(())), key=lambda node: node.unique_id)
    assert [node.unique_id for node in told] == [*models(lineage), "source.shop.raw.a"]
    assert found.hashes == b"".join(node.hash for node in told)
    assert found.counts == {"exact": 3, "approximate": 3, "unknown": 3}
    assert (found.node_count, found.edge_count, found.reused_count) == (10, 9, 9)
    assert (found.dialect, found.engine) == ("duckdb", "sqlglot 30.30.0")
    before = copy_format.row_start(6)
    assert b"".join(found.rows([1, 9], before)) == before + told[1].row() + before + told[9].row()
    assert [(n.unique_id, n.status, n.content, n.compiled_code) for n in found.nodes()] == [
        (n.unique_id, n.status, n.content, n.compiled_code) for n in told
    ]
    found.close()


async def test_a_changed_model_is_one_hash_more(decoders: Decoders, lineage: StorableLineage, tmp_path: Path) -> None:
    content = of(lineage)
    first = await read(decoders, content, lineage, tmp_path)
    changed = content.replace(b'"compiled_code": "select 1"', b'"compiled_code": "select 2"', 1)
    second = await read(decoders, changed, lineage, tmp_path)
    hashes = [{columns.hashes[n : n + HASH_BYTES] for n in range(0, len(columns.hashes), HASH_BYTES)} for columns in (first, second)]
    assert len(hashes[1] - hashes[0]) == 1


@pytest.mark.parametrize("inline", [False, True], ids=["process", "inline"])
@pytest.mark.parametrize("content", [b"", b"<html>", document({"unique_id": 1}), bytes(9 << 20)], ids=["empty", "html", "wrong", "zeros"])
async def test_what_is_no_document_is_refused_and_the_next_one_is_read(
    decoders: Decoders,
    lineage: StorableLineage,
    tmp_path: Path,
    content: bytes,
    inline: bool,  # noqa: FBT001 - a parameter
) -> None:
    using = Inline() if inline else decoders
    with pytest.raises(ColumnsError, match=r"reading the columns of octo/shop at 1a2b3c4.*dbt-runner:latest.*line") as caught:
        await read(using, content, lineage, tmp_path)
    assert not caught.value.temporary
    assert (await read(using, of(lineage), lineage, tmp_path)).node_count == 10


async def test_a_line_that_unfolds_in_memory_is_refused_and_says_so(decoders: Decoders, lineage: StorableLineage, tmp_path: Path) -> None:
    bomb = json.dumps(HEAD).encode() + b'\n{"unique_id": "x", "status": "exact", "columns": [' + b'["",null],' * 2_900_000 + b"[]]}\n"
    assert len(bomb) < 32 << 20
    with pytest.raises(ColumnsError, match=r"line 2|MiB of memory"):
        await read(decoders, bomb, lineage, tmp_path)
    assert (await read(decoders, of(lineage), lineage, tmp_path)).node_count == 10


async def test_a_process_that_is_killed_is_a_reason_that_passes(decoders: Decoders, lineage: StorableLineage, tmp_path: Path) -> None:
    (busy,) = await children(os.getpid(), 1)
    os.kill(busy, signal.SIGSTOP)
    reading = asyncio.create_task(read(decoders, of(lineage), lineage, tmp_path))
    await asyncio.sleep(0.1)
    os.kill(busy, signal.SIGKILL)
    with pytest.raises(ColumnsError, match="out of memory") as caught:
        await reading
    assert caught.value.temporary


async def test_the_biggest_node_is_read(decoders: Decoders, lineage: StorableLineage, tmp_path: Path) -> None:
    [model, *_] = models(lineage)
    edges = [["source.shop.raw.a", f"c{number % 10_000}", f"c{number % 10_000}", "CONDITIONAL", True] for number in range(200_000)]
    columns = [[f"c{number}", "VARCHAR"] for number in range(10_000)]
    content = document(line(model, columns=columns, edges=edges, compiled_code="x" * (8 << 20)))
    found = await read(decoders, content, lineage, tmp_path)
    assert found.edge_count == 200_000
    [node] = found.nodes()
    assert len(msgspec.json.decode(node.content, type=ColumnContent).columns) == 10_000
    found.close()
