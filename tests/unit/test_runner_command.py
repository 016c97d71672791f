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
from app.dbt.command import MAX_HEADER, Answers, MalformedResultError, Sink, archive, job_line
from app.spool import MAX_IN_MEMORY, Spool
from tests.integration.runner_projects import SHOP, job, tree


async def packed(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def test_the_archive_is_the_state_then_the_files_then_the_packages(tmp_path: Path) -> None:
    state, packages = Spool(tmp_path), Spool(tmp_path)
    await state.write(b"kept" * 300)
    await state.flush()
    await packages.write(b"opaque" * 1000)
    await packages.flush()
    data = await packed(archive(tree(), packages, state))
    state.close()
    packages.close()
    assert len(data) % tarfile.RECORDSIZE == 0
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as members:
        contents = {member.name: (members.extractfile(member) or io.BytesIO()).read() for member in members}
    assert list(contents) == ["state", *(f"src/{path}" for path in SHOP), "packages.tar"]
    assert contents["state"] == b"kept" * 300
    assert contents["src/models/orders.sql"] == SHOP["models/orders.sql"].encode()
    assert contents["packages.tar"] == b"opaque" * 1000


def test_the_job_is_one_line() -> None:
    line = job_line("parse", job(project_dir="data", variables={"text": "two\nlines"}, environment={"REGION": "eu"}))
    assert line.index(b"\n") == len(line) - 1
    told = json.loads(line)
    assert told["command"] == "parse"
    assert told["project_dir"] == "data"
    assert (told["variables"], told["environment"]) == ({"text": "two\nlines"}, {"REGION": "eu"})
    assert told["profiles"]["shop"]["outputs"]["dev"]["type"] == "duckdb"
    assert told["keep_state"] is False


@given(st.integers(0, 30_000))
async def test_the_archive_is_whole_records_whatever_its_size(size: int) -> None:
    data = await packed(archive(tree({"models/a.sql": b"x" * size})))
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

    stream = archive(files())
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined] # it is a generator
    assert closed == [True]


@given(st.binary(max_size=200), st.binary(max_size=200), st.booleans(), st.lists(st.integers(0, 600), max_size=8))
async def test_answers_may_come_in_any_pieces(payload: bytes, left: bytes, keep_state: bool, cuts: list[int]) -> None:  # noqa: FBT001 - drawn
    header = {"ok": True, "bytes": len(payload), "dbt_version": "1.11.16", "stages": {"parse": 1.5}, "of": "later"}
    state = json.dumps({"state_bytes": len(left)}).encode() + b"\n" + left if keep_state else b""
    data = b'{"taken": true}\n' + json.dumps(header).encode() + b"\n" + payload + state
    received, kept = bytearray(), bytearray()
    answers = Answers()
    answers.expect_result(into(received), into(kept) if keep_state else None)
    edges = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    for start, end in pairwise(edges):
        await answers.feed(data[start:end])
    assert answers.delivered.is_set()
    assert answers.ended.is_set()
    assert answers.result is not None
    assert answers.result.stages == {"parse": 1.5}
    assert (bytes(received), bytes(kept)) == (payload, left if keep_state else b"")


def into(received: bytearray) -> Sink:
    async def keep(data: bytes) -> None:
        received.extend(data)

    return keep


def header(**changed: object) -> bytes:
    """Return the line of a result with things in it that no honest runner writes."""
    invented = {"kind": "env_var", "name": "X", "value": "x", "path": "models/a.sql", "line": 1}
    return json.dumps({"ok": True, "bytes": 0, "placeholders": [invented], **changed}).encode() + b"\n"


async def read(output: bytes) -> Answers:
    """Read what comes after a job was taken."""
    answers = Answers()
    answers.expect_result(into(bytearray()), None)
    await answers.feed(b'{"taken": true}\n' + output)
    return answers


async def test_a_state_may_be_none_and_is_not_waited_for_after_a_refusal() -> None:
    for output, ended in ((header() + b'{"state_bytes": 0}\n', True), (header(ok=False), True), (header(), False)):
        answers = Answers()
        answers.expect_result(into(bytearray()), into(bytearray()))
        await answers.feed(b'{"taken": true}\n' + output)
        assert answers.ended.is_set() is ended


async def test_what_gets_warm_answers_before_it_has_a_job() -> None:
    answers = Answers()
    answers.expect_ready()
    await answers.feed(b'{"ready": true, "error": "no such adapter"}\n')
    assert answers.ready.is_set()
    assert answers.warmth is not None
    assert answers.warmth.error == "no such adapter"
    with pytest.raises(MalformedResultError):
        await answers.feed(b'{"taken": true}\n')


async def test_placeholders_come_with_a_refusal_too() -> None:
    answers = await read(header(ok=False, error="no"))
    assert answers.result is not None
    [found] = answers.result.placeholders
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
    """The last bytes cost what the first ones did: whoever looked through all of the line each time would take a hundred times as long."""
    answers = await read(b"")
    first_s = [await byte_by_byte(answers, 2000) for _ in range(4)]
    await answers.feed(b" " * (MAX_HEADER - 16_000))
    last_s = [await byte_by_byte(answers, 2000) for _ in range(4)]
    with pytest.raises(MalformedResultError):
        await answers.feed(b" ")
    assert min(last_s) < 8 * min(first_s)


async def byte_by_byte(answers: Answers, count: int) -> float:
    """Feed so many bytes and return the seconds of CPU that it took."""
    since = time.process_time()
    for _ in range(count):
        await answers.feed(b" ")
    return time.process_time() - since


@pytest.mark.parametrize(
    "output", [b"hello\n", b"[]\n", b'{"ok": true}\n', b"x" * (2 << 20), b'{"taken": true}\n', header() + b"x", header(bytes=2) + b"{}x"]
)
async def test_other_output_is_no_result(output: bytes) -> None:
    with pytest.raises(MalformedResultError):
        await read(output)


@pytest.mark.parametrize("output", [header(), b'{"taken": false}\n', b'{"ready": true}\n'])
async def test_a_job_is_taken_before_anything_else(output: bytes) -> None:
    answers = Answers()
    answers.expect_result(into(bytearray()), None)
    with pytest.raises(MalformedResultError):
        await answers.feed(output)


async def test_packages_move_to_the_disk_and_off_it(tmp_path: Path) -> None:
    packages = Spool(tmp_path / "work")
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
