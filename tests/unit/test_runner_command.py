"""The service's side of the protocol with containers."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.spool import MAX_IN_MEMORY, Spool
from app.runner.job_archive import Earlier, archive
from app.runner.job_protocol import MAX_HEADER, AnswerReader, MalformedResultError, Sink, Sinks, job_line
from app.runner.streams import BoundedLog
from tests.integration.runner_projects import SHOP, job, tree


async def packed(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def spooled(content: bytes, directory: Path) -> Spool:
    spool = Spool(directory)
    await spool.write(content)
    await spool.flush()
    return spool


async def test_the_archive_has_what_is_left_from_earlier_then_the_files_then_the_packages(tmp_path: Path) -> None:
    earlier = Earlier(await spooled(b"kept" * 300, tmp_path), await spooled(b'{"version": 1}', tmp_path))
    data = await packed(archive(tree(), await spooled(b"opaque" * 1000, tmp_path), earlier))
    assert len(data) % tarfile.RECORDSIZE == 0
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as members:
        contents = {member.name: (members.extractfile(member) or io.BytesIO()).read() for member in members}
    assert list(contents) == ["state", "columns", *(f"src/{path}" for path in SHOP), "packages.tar"]
    assert (contents["state"], contents["columns"]) == (b"kept" * 300, b'{"version": 1}')
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
    assert told["columns"] is False


def test_columns_are_only_asked_of_an_image_that_can_read_them_and_of_dbt_parse() -> None:
    able = replace(job().image, gives_columns=True)
    assert json.loads(job_line("parse", job(columns=True, image=able)))["columns"] is True
    assert json.loads(job_line("parse", job(columns=True)))["columns"] is False
    assert json.loads(job_line("deps", job(columns=True, image=able)))["columns"] is False


@given(st.integers(0, 30_000))
async def test_the_archive_has_whole_records_whatever_its_size(size: int) -> None:
    data = await packed(archive(tree({"models/a.sql": b"x" * size})))
    assert len(data) % tarfile.RECORDSIZE == 0
    assert data.endswith(bytes(2 * tarfile.BLOCKSIZE))


async def test_the_files_are_closed_when_reading_stops() -> None:
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


payloads = st.binary(max_size=200)


@given(payloads, payloads | st.none(), payloads | st.none(), st.lists(st.integers(0, 900), max_size=8))
async def test_answers_can_arrive_in_any_pieces(payload: bytes, left: bytes | None, document: bytes | None, cuts: list[int]) -> None:
    parts: list[str | bytes] = [
        json.dumps({"ok": True, "bytes": len(payload), "dbt_version": "1.11.16", "stages": {"parse": 1.5}, "of": "later"}),
        payload,
    ]
    if left is not None:
        parts += [json.dumps({"state_bytes": len(left)}), left]
    if document is not None:
        parts += [json.dumps({"columns_bytes": len(document), "seconds": 0.5, "cpu_seconds": 0.25, "error": None}), document]
    lines = (part.encode() + b"\n" if isinstance(part, str) else part for part in parts)
    data = b'{"taken": true}\n' + b"".join(lines)
    received, kept, columns = bytearray(), bytearray(), bytearray()
    answers = AnswerReader()
    answers.expect_result(Sinks(into(received), None if left is None else into(kept), None if document is None else into(columns)))
    edges = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    for start, end in pairwise(edges):
        await answers.feed(data[start:end])
    assert answers.delivered.is_set()
    assert answers.state_ended.is_set()
    assert answers.ended.is_set()
    assert answers.result is not None
    assert answers.result.stages == {"parse": 1.5}
    assert (bytes(received), bytes(kept), bytes(columns)) == (payload, left or b"", document or b"")
    assert document is None or (answers.columns is not None and answers.columns.cpu_seconds == 0.25)


def into(received: bytearray) -> Sink:
    async def keep(data: bytes) -> None:
        received.extend(data)

    return keep


def header(**changed: object) -> bytes:
    """A result with values that our runner would never write."""
    invented = {"kind": "env_var", "name": "X", "value": "x", "path": "models/a.sql", "line": 1}
    return json.dumps({"ok": True, "bytes": 0, "placeholders": [invented], **changed}).encode() + b"\n"


async def read(output: bytes) -> AnswerReader:
    """Read the output after a job was accepted."""
    answers = AnswerReader()
    answers.expect_result(Sinks(into(bytearray())))
    await answers.feed(b'{"taken": true}\n' + output)
    return answers


async def test_a_state_may_be_empty_and_does_not_follow_a_failure() -> None:
    for output, ended in ((header() + b'{"state_bytes": 0}\n', True), (header(ok=False), True), (header(), False)):
        answers = AnswerReader()
        answers.expect_result(Sinks(into(bytearray()), into(bytearray())))
        await answers.feed(b'{"taken": true}\n' + output)
        assert answers.ended.is_set() is ended


FOLLOW = {"columns_bytes": 2, "seconds": 1.0, "cpu_seconds": 1.0, "peak_memory_bytes": 1, "error": None}


async def with_columns(*lines: bytes, state: bool = True) -> AnswerReader:
    """Read the output of a job that asks for everything."""
    answers = AnswerReader()
    answers.expect_result(Sinks(into(bytearray()), into(bytearray()) if state else None, into(bytearray())))
    await answers.feed(b'{"taken": true}\n' + header() + b"".join(lines))
    return answers


async def test_columns_come_after_the_state_and_a_failure_has_none() -> None:
    state, follow = b'{"state_bytes": 0}\n', json.dumps(FOLLOW).encode() + b"\n"
    answers = await with_columns(state)
    assert answers.state_ended.is_set()
    assert not answers.ended.is_set()
    await answers.feed(follow + b"{")
    assert not answers.ended.is_set()
    await answers.feed(b"}")
    assert answers.ended.is_set()
    assert (await with_columns(follow, b"{}", state=False)).ended.is_set()
    for wrong in ((follow, b"{}"), (state, follow, b"{}\n"), (state, state), (state, b"{}")):
        with pytest.raises(MalformedResultError):
            await with_columns(*wrong, b"\n")
    with pytest.raises(MalformedResultError):
        await read(header() + follow + b"{}")
    answers = AnswerReader()
    answers.expect_result(Sinks(into(bytearray()), into(bytearray()), into(bytearray())))
    await answers.feed(b'{"taken": true}\n' + header(ok=False))
    assert answers.ended.is_set()


async def test_no_columns_have_a_reason() -> None:
    answers = await with_columns(b'{"state_bytes": 0}\n', json.dumps({"columns_bytes": 0, "error": "no memory"}).encode() + b"\n")
    assert answers.ended.is_set()
    assert answers.columns is not None
    assert answers.columns.error == "no memory"


@pytest.mark.parametrize(
    "changed",
    [{"columns_bytes": -1}, {"columns_bytes": 1 << 50}, {"seconds": -1}, {"cpu_seconds": "1"}, {"error": "x" * 1001}, {"error": 1}],
)
async def test_columns_with_values_out_of_bounds_are_rejected(changed: dict[str, object]) -> None:
    with pytest.raises(MalformedResultError):
        await with_columns(b'{"state_bytes": 0}\n', json.dumps({**FOLLOW, **changed}).encode() + b"\n")


async def test_a_warm_container_answers_before_its_job() -> None:
    answers = AnswerReader()
    answers.expect_ready()
    await answers.feed(b'{"ready": true, "error": "no such adapter"}\n')
    assert answers.ready.is_set()
    assert answers.warmth is not None
    assert answers.warmth.error == "no such adapter"
    with pytest.raises(MalformedResultError):
        await answers.feed(b'{"taken": true}\n')


async def test_a_failure_has_placeholders_too() -> None:
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
async def test_a_result_with_values_out_of_bounds_is_rejected(changed: dict[str, object]) -> None:
    assert (await read(header())).result
    with pytest.raises(MalformedResultError):
        await read(header(**changed))


async def test_reading_a_header_byte_by_byte_takes_linear_time() -> None:
    """The time per byte stays constant: searching the whole line each time would take a hundred times as long."""
    answers = await read(b"")
    first_s = [await byte_by_byte(answers, 2000) for _ in range(4)]
    await answers.feed(b" " * (MAX_HEADER - 16_000))
    last_s = [await byte_by_byte(answers, 2000) for _ in range(4)]
    with pytest.raises(MalformedResultError):
        await answers.feed(b" ")
    assert min(last_s) < 8 * min(first_s)


async def byte_by_byte(answers: AnswerReader, count: int) -> float:
    """Feed that number of bytes, and return the CPU seconds."""
    since = time.process_time()
    for _ in range(count):
        await answers.feed(b" ")
    return time.process_time() - since


@pytest.mark.parametrize(
    "output", [b"hello\n", b"[]\n", b'{"ok": true}\n', b"x" * (2 << 20), b'{"taken": true}\n', header() + b"x", header(bytes=2) + b"{}x"]
)
async def test_other_output_is_rejected(output: bytes) -> None:
    with pytest.raises(MalformedResultError):
        await read(output)


@pytest.mark.parametrize("output", [header(), b'{"taken": false}\n', b'{"ready": true}\n'])
async def test_a_job_is_accepted_before_its_result(output: bytes) -> None:
    answers = AnswerReader()
    answers.expect_result(Sinks(into(bytearray())))
    with pytest.raises(MalformedResultError):
        await answers.feed(output)


async def test_packages_are_spooled_to_disk_and_deleted(tmp_path: Path) -> None:
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


def test_a_long_log_keeps_its_head_and_tail() -> None:
    log = BoundedLog(head_bytes=10, tail_bytes=10)
    for number in range(100):
        log.add(b"%04d\n" % number)
    assert log.text() == "0000\n0001\n\n[... 480 bytes left out ...]\n0098\n0099\n"
    assert log.dropped_bytes == 480


def test_a_short_log_is_kept_whole() -> None:
    log = BoundedLog(head_bytes=4, tail_bytes=100)
    log.add("größer".encode())
    log.add(b"\xff!")
    assert log.text() == "größer\ufffd!"
