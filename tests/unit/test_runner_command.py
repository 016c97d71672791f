"""What goes into a container and what comes out, without one."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dbt.attached import Log
from app.dbt.command import MalformedResultError, ResultReader, archive, job_json
from app.dbt.packages import MAX_IN_MEMORY, SpooledPackages
from tests.integration.runner_projects import SHOP, job, tree


async def packed(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def test_the_archive_is_the_job_then_the_files_then_the_packages(tmp_path: Path) -> None:
    packages = SpooledPackages(tmp_path)
    await packages.write(b"opaque" * 1000)
    await packages.flush()
    data = await packed(
        archive(job_json("parse", job(project_dir="data", variables={"days": 3}, environment={"REGION": "eu"})), tree(), packages)
    )
    packages.close()
    assert len(data) % tarfile.RECORDSIZE == 0
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as members:
        contents = {member.name: (members.extractfile(member) or io.BytesIO()).read() for member in members}
    assert list(contents) == ["job.json", *(f"src/{path}" for path in SHOP), "packages.tar"]
    assert contents["src/models/orders.sql"] == SHOP["models/orders.sql"].encode()
    assert contents["packages.tar"] == b"opaque" * 1000
    told = json.loads(contents["job.json"])
    assert told["command"] == "parse"
    assert told["project_dir"] == "data"
    assert (told["variables"], told["environment"]) == ({"days": 3}, {"REGION": "eu"})
    assert told["profiles"]["shop"]["outputs"]["dev"]["type"] == "duckdb"


@given(st.integers(0, 30_000))
async def test_the_archive_is_whole_records_whatever_its_size(size: int) -> None:
    data = await packed(archive(b"{}", tree({"models/a.sql": b"x" * size})))
    assert len(data) % tarfile.RECORDSIZE == 0
    assert data.endswith(bytes(2 * tarfile.BLOCKSIZE))


async def test_the_files_are_closed_when_nobody_reads_on() -> None:
    closed = []

    async def files() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1 << 20)
        finally:
            closed.append(True)

    stream = archive(b"{}", files())
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined] # it is a generator
    assert closed == [True]


@given(st.binary(max_size=200), st.lists(st.integers(0, 300), max_size=8))
async def test_a_result_may_come_in_any_pieces(payload: bytes, cuts: list[int]) -> None:
    header = {"ok": True, "bytes": len(payload), "dbt_version": "1.11.16", "stages": {"parse": 1.5}, "of": "later"}
    data = json.dumps(header).encode() + b"\n" + payload
    received = []

    async def keep(part: bytes) -> None:
        received.append(part)

    reader = ResultReader(keep)
    edges = sorted({0, *cuts, len(data)})
    for start, end in pairwise(edges):
        await reader.feed(data[start:end])
    assert reader.complete
    assert reader.result is not None
    assert reader.result.stages == {"parse": 1.5}
    assert b"".join(received) == payload


def header(**changed: object) -> bytes:
    """Return the line of a result with things in it that no honest runner writes."""
    invented = {"kind": "env_var", "name": "X", "value": "x", "path": "models/a.sql", "line": 1}
    return json.dumps({"ok": True, "bytes": 0, "placeholders": [invented], **changed}).encode() + b"\n"


async def read(output: bytes) -> ResultReader:
    async def keep(_: bytes) -> None:
        pass

    reader = ResultReader(keep)
    await reader.feed(output)
    return reader


async def test_placeholders_come_with_a_refusal_too() -> None:
    reader = await read(header(ok=False, error="no"))
    assert reader.result is not None
    [found] = reader.result.placeholders
    assert (found.kind, found.name, found.value, found.path, found.line) == ("env_var", "X", "x", "models/a.sql", 1)


INVENTED = {"kind": "var", "name": "X", "value": "x"}


@pytest.mark.parametrize(
    "changed",
    [
        {"placeholders": [INVENTED] * 501},
        {"placeholders": [{**INVENTED, "kind": "secret"}]},
        {"placeholders": [{**INVENTED, "name": "x" * 1001}]},
        {"placeholders": [{**INVENTED, "value": 1}]},
        {"placeholders": [{**INVENTED, "line": -1}]},
        {"placeholders": [[[[[]]]]]},
        {"error": "x" * (300 << 10)},
        {"bytes": -1},
        {"bytes": 1 << 70},
        {"stages": {str(number): 0.1 for number in range(21)}},
        {"stages": {"parse": -1}},
        {"cpu_seconds": 1e300},
        {"peak_memory_bytes": "1"},
        {"warnings": 0.5},
        {"dbt_version": "1" * 101},
        {"kind": "other"},
    ],
)
async def test_what_is_out_of_bounds_is_no_result(changed: dict[str, object]) -> None:
    assert (await read(header())).result
    with pytest.raises(MalformedResultError):
        await read(header(**changed))


async def test_a_header_that_comes_byte_by_byte_costs_no_more() -> None:
    reader = await read(b"")
    since = time.process_time()
    with pytest.raises(MalformedResultError):
        for _ in range(2 << 20):
            await reader.feed(b" ")
    assert time.process_time() - since < 5


@pytest.mark.parametrize("output", [b"hello\n", b"[]\n", b'{"ok": true}\n', b"x" * (2 << 20)])
async def test_other_output_is_no_result(output: bytes) -> None:
    async def keep(_: bytes) -> None:
        pass

    with pytest.raises(MalformedResultError):
        await ResultReader(keep).feed(output)


async def test_packages_move_to_the_disk_and_off_it(tmp_path: Path) -> None:
    packages = SpooledPackages(tmp_path / "work")
    size = MAX_IN_MEMORY + (3 << 20) + 1
    for _ in range(0, size, 1 << 16):
        await packages.write(bytes(min(1 << 16, size - packages.size_bytes)))
    await packages.flush()
    assert packages.size_bytes == size
    for _ in range(2):
        assert len(await packed(packages.stream())) == size
    packages.close()
    assert list((tmp_path / "work").iterdir()) == []


def test_a_log_keeps_its_head_and_its_tail() -> None:
    log = Log(head_bytes=10, tail_bytes=10)
    for number in range(100):
        log.add(b"%04d\n" % number)
    assert log.text() == "0000\n0001\n\n[... 480 bytes left out ...]\n0098\n0099\n"
    assert log.dropped_bytes == 480


def test_a_short_log_is_whole() -> None:
    log = Log(head_bytes=4, tail_bytes=100)
    log.add("größer".encode())
    log.add(b"\xff!")
    assert log.text() == "größer\ufffd!"
