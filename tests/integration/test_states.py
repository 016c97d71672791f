"""What is kept of a parse for the next one: whose it is, for how long, and how much of it."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.dbt import states
from app.dbt.states import States
from app.ports import DbtJob, StateScope
from tests.integration.runner_projects import job

MAIN = StateScope(1, 2, "c0ffee", "main", followed=True, fresh=False)
SIDE = StateScope(1, 2, "c0ffee", "side", followed=False, fresh=False)


def of(scope: StateScope, **changed: Any) -> DbtJob:
    return job(state=scope, **changed)


async def keep(kept: States, wanted: DbtJob, content: bytes) -> None:
    """Do what an extraction does with its state: begin with what there is, leave another one."""
    begun_with = await kept.open(wanted)
    saving = kept.saving(wanted, begun_with)
    assert saving is not None
    await saving.write(content)
    await kept.keep(saving)
    saving.close()
    if begun_with:
        begun_with.close()


async def found(kept: States, wanted: DbtJob) -> bytes | None:
    state = await kept.open(wanted)
    if state is None:
        return None
    content = b"".join([chunk async for chunk in state.stream()])
    assert len(content) == state.size_bytes
    state.close()
    return content


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


async def test_the_next_extraction_of_the_branch_begins_with_it(tmp_path: Path) -> None:
    kept = States(tmp_path)
    assert await found(kept, of(MAIN)) is None
    await keep(kept, of(MAIN), b"one")
    await keep(kept, of(MAIN), b"two")
    assert await found(kept, of(MAIN)) == b"two"
    assert await found(States(tmp_path), of(MAIN)) == b"two"
    [file] = files(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_side_branch_begins_with_the_followed_branchs_and_never_the_other_way_round(tmp_path: Path) -> None:
    kept = States(tmp_path)
    await keep(kept, of(SIDE), b"of the side branch")
    assert await found(kept, of(MAIN)) is None
    assert await found(kept, of(replace(SIDE, branch="another"))) is None
    # It is followed one day: what its pushes wrote before, when nobody looked at them, does not count.
    assert await found(kept, of(replace(SIDE, followed=True))) is None
    await keep(kept, of(MAIN), b"of the followed branch")
    assert await found(kept, of(replace(SIDE, branch="another"))) == b"of the followed branch"
    assert await found(kept, of(SIDE)) == b"of the side branch"
    assert await found(kept, of(MAIN)) == b"of the followed branch"


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
async def test_it_is_for_nothing_else(tmp_path: Path, changed: dict[str, Any]) -> None:
    kept = States(tmp_path)
    await keep(kept, of(MAIN), b"state")
    assert await found(kept, replace(of(MAIN), **changed)) is None


async def test_everything_is_read_anew_once_a_week_whatever_containers_say(tmp_path: Path) -> None:
    kept = States(tmp_path)
    await keep(kept, of(MAIN), b"one")
    await keep(kept, of(MAIN), b"two")
    [file] = files(tmp_path)
    since = int(file.name.rpartition(".")[2])
    assert abs(time.time() - since) < 60
    file.rename(file.with_name(f"{file.stem}.{since - states.FULL_AGAIN_S}"))
    assert await found(kept, of(MAIN)) is None
    await keep(kept, of(MAIN), b"three")
    assert await found(kept, of(MAIN)) == b"three"
    assert len(files(tmp_path)) == 1


async def test_one_that_dbt_does_not_get_along_with_is_not_used_again(tmp_path: Path) -> None:
    kept = States(tmp_path)
    await keep(kept, of(MAIN), b"of the followed branch")
    # A side branch that began with it may not take it from the followed one.
    await kept.forget(SIDE)
    assert await found(kept, of(SIDE)) is None
    assert await found(kept, of(MAIN)) == b"of the followed branch"
    await keep(kept, of(SIDE), b"its own")
    assert await found(kept, of(SIDE)) == b"its own"
    await kept.forget(MAIN)
    assert await found(kept, of(MAIN)) is None


async def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    kept = States(tmp_path, max_state_bytes=1000, max_total_bytes=2500)
    scopes = [replace(MAIN, connection_id=f"c{number}") for number in range(3)]
    for number, scope in enumerate(scopes[:2]):
        await keep(kept, of(scope), b"x" * 1000)
        newest = max(files(tmp_path), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (time.time() - 100 + number, time.time() - 100 + number))
    assert await found(kept, of(scopes[0]))
    await keep(kept, of(scopes[2]), b"x" * 1000)
    assert [bool(await found(kept, of(scope))) for scope in scopes] == [True, False, True]


async def test_one_that_is_too_big_is_not_kept(tmp_path: Path) -> None:
    kept = States(tmp_path, max_state_bytes=1000)
    await keep(kept, of(MAIN), b"x" * 1000)
    saving = kept.saving(of(MAIN), None)
    assert saving is not None
    await saving.write(b"y" * 900)
    with pytest.raises(ValueError, match="bigger than"):
        await saving.write(b"y" * 900)
    saving.close()
    assert await found(kept, of(MAIN)) == b"x" * 1000
    assert len(files(tmp_path)) == 1


async def test_it_goes_with_the_repository_and_the_installation(tmp_path: Path) -> None:
    kept = States(tmp_path)
    for scope in (MAIN, replace(MAIN, repository_id=3), replace(MAIN, installation_id=9)):
        await keep(kept, of(scope), b"state")
    await kept.remove(3)
    assert len(files(tmp_path)) == 2
    await kept.remove_installation(9)
    assert await found(kept, of(MAIN)) == b"state"
    assert len(files(tmp_path)) == 1


async def test_the_next_extraction_waits_for_a_state_that_is_being_written(tmp_path: Path) -> None:
    kept = States(tmp_path)
    written = kept.begin_writing(MAIN)
    waiting = asyncio.create_task(found(kept, of(MAIN)))
    other = asyncio.create_task(found(kept, of(replace(MAIN, connection_id="other"))))
    assert await other is None
    assert not waiting.done()
    saving = kept.saving(of(MAIN), None)
    assert saving is not None
    await saving.write(b"state")
    await kept.keep(saving)
    saving.close()
    written()
    assert await waiting == b"state"
