"""A parse with the state of the previous one has the same result as a full parse, over random series of edits."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from typing import Any

import pytest

from app.lineage.manifest import decode
from app.lineage.nodes import build
from tests.integration.edits import START, Series
from tests.integration.runner_steps import Parsed, steps

pytestmark = pytest.mark.containers
STEPS = int(os.environ.get("FRESHET_EDITS", "14"))
SEED = int(os.environ.get("FRESHET_EDITS_SEED", "7"))


def told(parsed: Parsed) -> object:
    """Everything in a result that is used."""
    return parsed.error or build(decode(parsed.manifest)), parsed.placeholders


async def test_each_partial_parse_equals_a_full_parse() -> None:
    project, done, state, partial = Series(SEED), "start", None, 0
    async with steps() as runner:
        for number in range(STEPS):
            full = await runner.parse(project.files)
            incremental = await runner.parse(project.files, state)
            assert told(incremental) == told(full), f"step {number} of seed {SEED}: {done}"
            partial += incremental.partial
            state = incremental.state or state
            if incremental.state is None:
                # It failed, or a test is disabled: there is no new state.
                project.undo()
            done = project.edit()
    assert partial


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (3,)


def altered(state: bytes, **members: bytes) -> bytes:
    """A state with some of its parts replaced; `about_json` stands for `about.json`."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(state)) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, members.get(name.replace(".", "_"), old.read(name)))
    return changed.getvalue()


def about(state: bytes, **changed: Any) -> bytes:
    with zipfile.ZipFile(io.BytesIO(state)) as archive:
        return json.dumps(json.loads(archive.read("about.json")) | changed).encode()


async def test_an_unusable_state_only_costs_time() -> None:
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
