"""Parse states and columns documents: which jobs use them, for how long, and their limits."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.pipeline.ports import DbtJob, StateScope
from app.runner import parse_state
from app.runner.parse_state import Kind, ParseStates
from tests.integration.runner_projects import job

MAIN = StateScope(1, 2, "c0ffee", own="followed main 1", followed="followed main 1", fresh=False)
SIDE = replace(MAIN, own="side pr 2")


def of(scope: StateScope, **changed: Any) -> DbtJob:
    return job(state=scope, **changed)


async def keep(states: ParseStates, wanted: DbtJob, content: bytes, kind: Kind = "state") -> None:
    """Use and replace a state, as an extraction does."""
    initial_state = await states.open(wanted, kind)
    writer = states.new_writer(wanted, initial_state, kind)
    assert writer is not None
    await writer.write(content)
    await states.save(writer)
    writer.close()
    if initial_state:
        initial_state.close()


async def found(states: ParseStates, wanted: DbtJob, kind: Kind = "state") -> bytes | None:
    state = await states.open(wanted, kind)
    if state is None:
        return None
    content = b"".join([chunk async for chunk in state.stream()])
    assert len(content) == state.size_bytes
    state.close()
    return content


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


async def test_the_next_extraction_of_the_branch_uses_its_state(tmp_path: Path) -> None:
    states = ParseStates(tmp_path)
    assert await found(states, of(MAIN)) is None
    await keep(states, of(MAIN), b"one")
    await keep(states, of(MAIN), b"two")
    assert await found(states, of(MAIN)) == b"two"
    assert await found(ParseStates(tmp_path), of(MAIN)) == b"two"
    [file] = files(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_side_branch_uses_the_followed_branchs_state_never_the_other_way_round(tmp_path: Path) -> None:
    states = ParseStates(tmp_path)
    await keep(states, of(SIDE), b"of the side branch")
    assert await found(states, of(MAIN)) is None
    assert await found(states, of(replace(SIDE, own="side another 3"))) is None
    # The branch becomes the followed one: a state from its time as a side branch is not used.
    assert await found(states, of(replace(MAIN, own="followed pr 2", followed="followed pr 2"))) is None
    await keep(states, of(MAIN), b"of the followed branch")
    assert await found(states, of(replace(SIDE, own="side another 3"))) == b"of the followed branch"
    assert await found(states, of(SIDE)) == b"of the side branch"
    assert await found(states, of(MAIN)) == b"of the followed branch"
    # Another branch is followed now: nobody but the former one has a use for its state, and that as long as it is the followed one.
    assert await found(states, of(replace(SIDE, own="side main 1", followed="followed release 1"))) is None
    assert await found(states, of(replace(SIDE, own="side another 3", followed="followed release 1"))) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"adapter_type": "postgres"},
        {"profile": "other"},
        {"target": "other"},
        {"project_dir": "other"},
        {"variables": {"days": 3}},
        {"environment": {"REGION": "eu"}},
        {"image": replace(job().image, id="sha256:other")},
        {"state": replace(MAIN, connection_id="other")},
        {"state": replace(MAIN, repository_id=3)},
        {"state": replace(MAIN, installation_id=3)},
        {"state": replace(MAIN, fresh=True)},
        {"state": None},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_a_state_is_not_used_after_relevant_changes(tmp_path: Path, changed: dict[str, Any]) -> None:
    states = ParseStates(tmp_path)
    await keep(states, of(MAIN), b"state")
    assert await found(states, replace(of(MAIN), **changed)) is None


async def test_there_is_a_full_parse_once_a_week_whatever_containers_report(tmp_path: Path) -> None:
    states = ParseStates(tmp_path)
    await keep(states, of(MAIN), b"one")
    await keep(states, of(MAIN), b"two")
    [file] = files(tmp_path)
    since = int(file.name.rpartition(".")[2])
    assert abs(time.time() - since) < 60
    file.rename(file.with_name(f"{file.stem}.{since - parse_state.FULL_AGAIN_S}"))
    assert await found(states, of(MAIN)) is None
    await keep(states, of(MAIN), b"three")
    assert await found(states, of(MAIN)) == b"three"
    assert len(files(tmp_path)) == 1


async def test_a_state_with_which_dbt_failed_is_not_used_again(tmp_path: Path) -> None:
    states = ParseStates(tmp_path)
    await keep(states, of(MAIN), b"of the followed branch")
    # A side branch that used the state must not delete it for the followed one.
    await states.forget(SIDE)
    assert await found(states, of(SIDE)) is None
    assert await found(states, of(MAIN)) == b"of the followed branch"
    await keep(states, of(SIDE), b"its own")
    assert await found(states, of(SIDE)) == b"its own"
    await states.forget(MAIN)
    assert await found(states, of(MAIN)) is None


async def test_the_least_recently_used_states_are_deleted_first(tmp_path: Path) -> None:
    states = ParseStates(tmp_path, max_state_bytes=1000, max_total_bytes=2500)
    scopes = [replace(MAIN, connection_id=f"c{number}") for number in range(3)]
    for number, scope in enumerate(scopes[:2]):
        await keep(states, of(scope), b"x" * 1000)
        newest = max(files(tmp_path), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (time.time() - 100 + number, time.time() - 100 + number))
    assert await found(states, of(scopes[0]))
    await keep(states, of(scopes[2]), b"x" * 1000)
    assert [bool(await found(states, of(scope))) for scope in scopes] == [True, False, True]


async def test_one_installation_does_not_push_out_the_states_of_others(tmp_path: Path) -> None:
    states = ParseStates(tmp_path, max_state_bytes=1000, max_total_bytes=3000)
    await keep(states, of(MAIN), b"x" * 900)
    [quiet] = files(tmp_path)
    os.utime(quiet, (time.time() - 1000, time.time() - 1000))
    for number in range(20):
        pushed = of(replace(MAIN, installation_id=666, repository_id=100 + number, connection_id=f"c{number}"))
        await keep(states, pushed, b"x" * 1000, parse_state.KINDS[number % 2])
    assert quiet.exists()
    assert len(files(tmp_path)) == 3
    assert await found(states, pushed, "columns")


async def test_states_that_are_too_old_to_be_used_are_deleted(tmp_path: Path) -> None:
    states = ParseStates(tmp_path)
    await keep(states, of(MAIN), b"state")
    [file] = files(tmp_path)
    os.utime(file, (time.time() - parse_state.FULL_AGAIN_S - 1,) * 2)
    await states.tidy()
    assert files(tmp_path) == []


async def test_a_columns_document_is_kept_beside_the_state_under_the_same_rules(tmp_path: Path) -> None:
    states = ParseStates(tmp_path)
    await keep(states, of(MAIN), b"state")
    assert await found(states, of(MAIN), "columns") is None
    await keep(states, of(SIDE), b"of the side branch", "columns")
    assert await found(states, of(MAIN), "columns") is None
    await keep(states, of(MAIN), b"columns", "columns")
    assert [await found(states, of(MAIN), kind) for kind in parse_state.KINDS] == [b"state", b"columns"]
    assert await found(states, of(SIDE), "columns") == b"of the side branch"
    assert await found(states, of(replace(SIDE, own="side another 3")), "columns") == b"columns"
    assert await found(states, of(MAIN, adapter_type="postgres"), "columns") is None
    await states.forget(MAIN, ("columns",))
    assert [await found(states, of(MAIN), kind) for kind in parse_state.KINDS] == [b"state", None]
    await states.forget(MAIN)
    assert await found(states, of(MAIN)) is None
    await states.remove(2)
    assert files(tmp_path) == []


async def test_who_waits_for_a_state_does_not_wait_for_columns(tmp_path: Path) -> None:
    states = ParseStates(tmp_path)
    await keep(states, of(MAIN), b"state")
    written = states.begin_writing(MAIN, "columns")
    assert await found(states, of(MAIN)) == b"state"
    waiting = asyncio.create_task(found(states, of(MAIN), "columns"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    written()
    assert await waiting is None


async def test_a_state_that_is_too_big_is_not_stored(tmp_path: Path) -> None:
    states = ParseStates(tmp_path, max_state_bytes=1000)
    await keep(states, of(MAIN), b"x" * 1000)
    writer = states.new_writer(of(MAIN), None)
    assert writer is not None
    await writer.write(b"y" * 900)
    with pytest.raises(ValueError, match="bigger than"):
        await writer.write(b"y" * 900)
    writer.close()
    assert await found(states, of(MAIN)) == b"x" * 1000
    assert len(files(tmp_path)) == 1


async def test_states_are_deleted_with_the_repository_and_the_installation(tmp_path: Path) -> None:
    states = ParseStates(tmp_path)
    for scope in (MAIN, replace(MAIN, repository_id=3), replace(MAIN, installation_id=9)):
        await keep(states, of(scope), b"state")
    await states.remove(3)
    assert len(files(tmp_path)) == 2
    await states.remove_installation(9)
    assert await found(states, of(MAIN)) == b"state"
    assert len(files(tmp_path)) == 1


async def test_the_next_extraction_waits_for_a_state_that_is_being_written(tmp_path: Path) -> None:
    states = ParseStates(tmp_path)
    written = states.begin_writing(MAIN)
    waiting = asyncio.create_task(found(states, of(MAIN)))
    other = asyncio.create_task(found(states, of(replace(MAIN, connection_id="other"))))
    assert await other is None
    assert not waiting.done()
    writer = states.new_writer(of(MAIN), None)
    assert writer is not None
    await writer.write(b"state")
    await states.save(writer)
    writer.close()
    written()
    assert await waiting == b"state"


async def test_no_branch_of_a_connection_uses_what_was_made_of_a_distrusted_state(tmp_path: Path) -> None:
    states = ParseStates(tmp_path)
    other = replace(MAIN, connection_id="other")
    for scope in (MAIN, SIDE, other):
        await keep(states, of(scope), b"state")
        await keep(states, of(scope), b"columns", "columns")
    await make_older(tmp_path)
    # This job has started with the state, and leaves its own one later.
    started = await states.open(of(MAIN))
    assert started is not None
    await states.distrust(MAIN)
    assert [await found(states, of(scope)) for scope in (MAIN, SIDE, other)] == [None, None, b"state"]
    assert [await found(states, of(scope), "columns") for scope in (MAIN, SIDE, other)] == [None, None, b"columns"]
    writer = states.new_writer(of(MAIN), started)
    assert writer is not None
    await writer.write(b"made of the distrusted one")
    await states.save(writer)
    writer.close()
    started.close()
    assert await found(states, of(MAIN)) is None
    assert await found(ParseStates(tmp_path), of(MAIN)) is None
    await keep(states, of(MAIN), b"of a full parse")
    assert await found(states, of(MAIN)) == b"of a full parse"
    await states.distrust(MAIN)
    await states.remove(2)
    assert files(tmp_path) == []


async def make_older(directory: Path) -> None:
    """As if the jobs that made the states had started ten seconds ago."""
    for path in files(directory):
        branch, key, since = path.name.split(".")
        path.rename(path.with_name(f"{branch}.{key}.{int(since) - 10}"))
