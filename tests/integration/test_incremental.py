"""What is parsed with the state of the parse before is what a full parse makes of the same files, over random series of edits."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from typing import Any

from app.lineage import build
from app.manifest import decode
from tests.integration.edits import START, Series
from tests.integration.runner_steps import Parsed, steps

STEPS = int(os.environ.get("FRESHET_EDITS", "14"))
SEED = int(os.environ.get("FRESHET_EDITS_SEED", "7"))


def told(parsed: Parsed) -> object:
    """Return all that reaches anybody."""
    return parsed.error or build(decode(parsed.manifest)), parsed.placeholders


async def test_each_step_of_a_series_is_as_a_full_parse() -> None:
    project, done, state, partial = Series(SEED), "start", None, 0
    async with steps() as runner:
        for number in range(STEPS):
            full = await runner.parse(project.files)
            incremental = await runner.parse(project.files, state)
            assert told(incremental) == told(full), f"step {number} of seed {SEED}: {done}"
            partial += incremental.partial
            state = incremental.state or state
            if incremental.state is None:
                # Refused, or half disabled: nothing to go on with.
                project.undo()
            done = project.edit()
    assert partial


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (3,)


def altered(state: bytes, **members: bytes) -> bytes:
    """Return a state with some of its parts replaced; `about_json` names `about.json`."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(state)) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, members.get(name.replace(".", "_"), old.read(name)))
    return changed.getvalue()


def about(state: bytes, **changed: Any) -> bytes:
    with zipfile.ZipFile(io.BytesIO(state)) as archive:
        return json.dumps(json.loads(archive.read("about.json")) | changed).encode()


async def test_a_state_that_is_no_good_costs_time_alone() -> None:
    async with steps() as runner:
        full = await runner.parse(START)
        good = full.state
        assert good is not None
        assert (await runner.parse(START, good)).partial
        spoilt = {
            "empty": b"",
            "cut": good[: len(good) // 2],
            "noise": b"PK\x03\x04" + bytes(range(256)) * 100,
            "flipped": good[:-2000] + bytes([good[-2000] ^ 255]) + good[-1999:],
            "hostile": altered(good, manifest_pickle=pickle.dumps(Hostile())),
            "something else": altered(good, manifest_pickle=pickle.dumps({"nodes": {}, "what": 1})),
            "nothing in it": altered(good, manifest_pickle=pickle.dumps({})),
            "of another version": altered(good, about_json=about(good, dbt_version="1.0.0")),
            "from the future": altered(good, about_json=about(good, at=1e12)),
        }
        for what, state in spoilt.items():
            parsed = await runner.parse(START, state)
            assert not parsed.partial, what
            assert told(parsed) == told(full), what
