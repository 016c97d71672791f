"""Columns that follow the manifest: how they are received and kept, and what is said if there are none."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiodocker
import pytest
import pytest_asyncio

from app.core.errors import ColumnsError, EngineUnavailableError
from app.pipeline.ports import DbtJob, Parsed, StateScope
from app.project.runner_images import RunnerImage
from app.runner.docker.backend import DockerRunner
from app.runner.docker.engine import connect
from app.runner.parse_state import ParseStates
from tests.integration.runner_fixtures import Make, containers
from tests.integration.runner_images import HEARS, build_runner, named
from tests.integration.runner_projects import extraction, job, tree
from tests.integration.test_containers_faults import Relay
from tests.patience import HANGS_S

MAIN = StateScope(1, 2, "c0ffee", own="followed main 1", followed="followed main 1", fresh=False)
PROGRAM = (
    HEARS
    + """
import time
told = hear()
answer(taken=True)
found = {}
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
    for member in archive:
        found[member.name] = archive.extractfile(member).read().decode()
def write(data, **line):
    answer(**line)
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
write(b"{}", ok=True, bytes=2)
if told["keep_state"]:
    write(b"state", state_bytes=5)
do = found.pop("src/do") if told["columns"] else "nothing"
if do == "hang":
    time.sleep(3600)
if do == "exit":
    sys.exit(3)
if do == "fill":
    filled = [b"x" * (1 << 20) for _ in range(1 << 14)]
if do == "babble":
    sys.stdout.write("hello\\n")
if do == "short":
    write(b"{", columns_bytes=100)
if do == "broken":
    sys.stdout.write('{"columns_by')
if do == "leave":
    print("no columns for you", file=sys.stderr)
    sys.exit()
if do == "outlive":
    sys.stdin.buffer.read()
if do == "refuse":
    answer(columns_bytes=0, error="Finding columns needs more memory.")
if do == "endless":
    answer(columns_bytes=1 << 40)
    while True:
        sys.stdout.buffer.write(bytes(1 << 20))
if do == "work":
    data = json.dumps(found).encode()
    write(data, columns_bytes=len(data), seconds=1.5, cpu_seconds=0.5, peak_memory_bytes=1 << 20, error=None)
"""
)
"""A runner whose columns document says what the archive had besides the file `do`, or that does what that file says."""


@pytest_asyncio.fixture
async def image(docker: aiodocker.Docker) -> RunnerImage:
    return replace(named(await build_runner(docker, "columns", PROGRAM)), gives_columns=True)


async def parsed(runner: DockerRunner, image: RunnerImage, do: str = "work", **changed: Any) -> Parsed:
    wanted = job(image=image, **{"columns": True, "state": MAIN, **changed})
    found = await runner.parse(wanted, tree({"do": do}), None)
    found.spool.close()
    return found


async def columns(found: Parsed) -> Any:
    """What the document says."""
    assert found.columns is not None
    async with asyncio.timeout(HANGS_S):
        document = await found.columns.wait()
    found.columns.close()
    content = json.loads(document.spool.content())
    document.spool.close()
    return content


async def kept(states: ParseStates, wanted: DbtJob) -> tuple[bool, bool]:
    """Whether there is a state, and whether there is a document, once the last job has written them."""
    found = [await states.open(wanted), await states.open(wanted, "columns")]
    for one in found:
        if one is not None:
            one.close()
    return found[0] is not None, found[1] is not None


async def gone(docker: aiodocker.Docker) -> None:
    """Wait until the job's container is deleted."""
    async with asyncio.timeout(HANGS_S):
        while await containers(docker, f"io.freshet.extraction={extraction()}"):
            await asyncio.sleep(0.05)


async def test_the_next_job_has_the_document_of_the_one_before(make: Make, image: RunnerImage) -> None:
    runner = make()
    first = await parsed(runner, image)
    assert first.states_of == frozenset()
    assert await columns(first) == {}
    second = await parsed(runner, image)
    assert second.states_of == {MAIN.followed}
    assert await columns(second) == {"state": "state", "columns": "{}"}
    assert (await parsed(runner, image, columns=False)).columns is None
    side = await parsed(runner, image, state=replace(MAIN, own="side pr 2"))
    assert side.states_of == {MAIN.followed}
    assert "columns" in await columns(side), "a side branch may start with what the followed one made"
    third = await parsed(runner, image)
    assert "side" not in str(await columns(third))
    fresh = await parsed(runner, image, state=replace(MAIN, fresh=True))
    assert fresh.states_of == frozenset()
    assert await columns(fresh) == {}


async def test_columns_without_a_state_are_received_and_not_kept(make: Make, image: RunnerImage) -> None:
    runner = make()
    for _ in range(2):
        assert await columns(await parsed(runner, image, state=None)) == {}


async def test_a_document_that_is_too_big_to_keep_is_received_all_the_same(make: Make, image: RunnerImage, tmp_path: Path) -> None:
    runner = make(states=ParseStates(tmp_path, max_state_bytes=20))
    assert await columns(await parsed(runner, image)) == {}
    assert await columns(await parsed(runner, image)) == {"state": "state", "columns": "{}"}, "it is bigger than 20 bytes"
    assert await columns(await parsed(runner, image)) == {"state": "state", "columns": "{}"}, "the one before it is still there"


async def test_what_columns_take_is_measured(make: Make, image: RunnerImage) -> None:
    found = await parsed(make(), image)
    assert found.columns is not None
    document = await found.columns.wait()
    document.spool.close()
    found.columns.close()
    assert (document.usage.cpu_seconds, document.usage.peak_memory_bytes) == (0.5, 1 << 20)
    assert 0 <= document.usage.seconds < HANGS_S


@pytest.mark.parametrize(
    ("do", "settings", "reason", "temporary"),
    [
        ("exit", {}, "exit status 3", False),
        ("fill", {"memory_bytes": 64 << 20}, "more than the 64 MiB of memory", False),
        ("hang", {"timeout_s": 2.0}, "it may take 2 seconds", False),
        ("babble", {}, "did not answer as expected", False),
        ("short", {}, "broke before the end", True),
        ("broken", {}, "broke before the end", True),
        ("leave", {}, "freshet-test:columns ended without columns. The end of its log: no columns for you", False),
        ("refuse", {}, "Finding columns needs more memory.", False),
        ("endless", {}, "bigger than 256 MiB", False),
    ],
)
async def test_no_columns_have_a_reason_and_the_manifest_is_there(
    make: Make,
    image: RunnerImage,
    docker: aiodocker.Docker,
    do: str,
    settings: dict[str, Any],
    reason: str,
    temporary: bool,  # noqa: FBT001 - a parameter
) -> None:
    runner = make(**settings)
    await columns(await parsed(runner, image))
    found = await parsed(runner, image, do)
    assert found.spool.size_bytes == 2
    assert found.columns is not None
    with pytest.raises(ColumnsError) as caught:
        await found.columns.wait()
    found.columns.close()
    assert reason in caught.value.user_text
    assert "reading the columns of octo/shop at 1a2b3c4" in caught.value.user_text
    assert caught.value.temporary is temporary
    await gone(docker)
    # What the job before left may be the cause, unless it cannot be.
    assert await kept(runner._jobs._states, job(image=image, state=MAIN)) == (True, temporary)


async def test_a_connection_to_the_engine_that_breaks_meanwhile_is_a_temporary_reason(
    make: Make, image: RunnerImage, docker: aiodocker.Docker, tmp_path: Path
) -> None:
    """The container ends well once nobody reads any more: that is no end without columns."""
    relay = Relay(tmp_path / "engine.sock")
    async with relay, connect(relay.url) as client:
        found = await parsed(make(docker=client), image, "outlive", state=None)
        assert found.columns is not None
        await relay.cut()
        with pytest.raises(ColumnsError, match="broke before the end") as caught:
            await found.columns.wait()
        assert caught.value.temporary
        found.columns.close()
        await gone(docker)


async def test_a_document_that_is_refused_is_not_given_to_the_next_job(make: Make, image: RunnerImage, docker: aiodocker.Docker) -> None:
    runner = make()
    side = replace(MAIN, own="side pr 2")
    await columns(await parsed(runner, image))
    refused = await parsed(runner, image, state=side)
    await columns(refused)
    assert refused.columns is not None
    await refused.columns.refuse()
    await gone(docker)
    states = runner._jobs._states
    assert await kept(states, job(image=image, state=side)) == (True, False)
    assert await kept(states, job(image=image, state=MAIN)) == (True, True), "that of the followed branch was not refused"


async def test_columns_that_nobody_wants_any_more_end_the_container_and_the_state_stays(
    make: Make, image: RunnerImage, docker: aiodocker.Docker
) -> None:
    runner = make()
    found = await parsed(runner, image, "hang")
    assert found.columns is not None
    found.columns.close()
    since = time.monotonic()
    await gone(docker)
    assert time.monotonic() - since < HANGS_S / 2
    assert await kept(runner._jobs._states, job(image=image, state=MAIN)) == (True, False)


async def test_a_caller_that_is_cancelled_while_it_waits_can_close(make: Make, image: RunnerImage, docker: aiodocker.Docker) -> None:
    found = await parsed(make(), image, "hang")
    assert found.columns is not None
    waiting = asyncio.create_task(found.columns.wait())
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    found.columns.close()
    await gone(docker)


async def test_a_service_that_stops_says_so_to_who_waits_for_columns(make: Make, image: RunnerImage, docker: aiodocker.Docker) -> None:
    runner = make()
    found = await parsed(runner, image, "hang")
    assert found.columns is not None
    waiting = asyncio.create_task(found.columns.wait())
    await asyncio.sleep(0.1)
    await runner.close()
    with pytest.raises(EngineUnavailableError, match="being stopped"):
        await waiting
    found.columns.close()
    await gone(docker)


async def test_many_jobs_that_only_write_their_state_do_not_keep_another_from_its_columns(
    make: Make, image: RunnerImage, docker: aiodocker.Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.runner.jobs.MAX_DRAINS", 0)
    assert await columns(await parsed(make(), image)) == {}
    await gone(docker)


async def test_a_job_counts_as_running_until_its_columns_are_there(make: Make, image: RunnerImage, docker: aiodocker.Docker) -> None:
    runner = make()
    found = await parsed(runner, image, "hang")
    [use] = runner.pool.demand._uses.values()
    assert use.running == 1
    assert found.columns is not None
    found.columns.close()
    await gone(docker)
    assert use.running == 0


async def test_an_image_that_gives_no_columns_parses_and_says_how_to_get_them(make: Make, image: RunnerImage) -> None:
    found = await parsed(make(), replace(image, gives_columns=False))
    assert found.spool.size_bytes == 2
    assert found.columns is not None
    with pytest.raises(ColumnsError, match="earlier release") as caught:
        await found.columns.wait()
    assert "make image" in caught.value.next_step
    found.columns.close()
