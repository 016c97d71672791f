"""A state that cannot be used only costs time, whatever is wrong with it."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from typing import Any

import pytest

from tests.integration.runner_steps import steps, told
from tests.integration.test_parsed_nodes import PROJECT

pytestmark = pytest.mark.containers


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


def of_wrong_types(state: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(state)) as archive:
        written = json.loads(archive.read("nodes.json"))
    return json.dumps(written | {"nodes": {node: [fields[0], 1, *fields[2:]] for node, fields in written["nodes"].items()}}).encode()


async def test_an_unusable_state_only_costs_time() -> None:
    async with steps() as runner:
        full = await runner.parse(PROJECT)
        good = full.state
        assert good is not None
        assert (await runner.parse(PROJECT, good)).partial
        spoilt = {
            "empty": b"",
            "cut": good[: len(good) // 2],
            "noise": b"PK\x03\x04" + bytes(range(256)) * 100,
            "flipped": good[:-2000] + bytes([good[-2000] ^ 255]) + good[-1999:],
            "hostile": altered(good, nodes_pickles=pickle.dumps(Hostile()) * 100),
            "something else": altered(good, nodes_pickles=pickle.dumps({"nodes": {}, "what": 1}) * 100),
            "wrong types": altered(good, nodes_json=of_wrong_types(good)),
            "nothing in it": altered(good, nodes_json=b"{}"),
            "of another version": altered(good, about_json=about(good, dbt_version="1.0.0")),
            "from the future": altered(good, about_json=about(good, at=1e12)),
        }
        for what, state in spoilt.items():
            parsed = await runner.parse(PROJECT, state)
            assert not parsed.partial, what
            assert told(parsed) == told(full), what
