"""Helpers that render ahead for the columns change nothing but the time, whatever becomes of them."""

from __future__ import annotations

import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.bench import generate
from tests.engine.forks import forking
from tests.integration.column_containers import Written, written
from tests.integration.column_projects import FEATURES, features
from tests.integration.runner_images import RUNNER_IMAGE
from tests.series.containers import PROGRAM

pytestmark = pytest.mark.containers
PACKAGE = "packages/house_rules/"
GENERATED = generate.generate(60)
GENERATED |= {f"dbt_{path}": text for path, text in GENERATED.items() if path.startswith(PACKAGE)}
GENERATED["dbt_project.yml"] = GENERATED["dbt_project.yml"].replace("profile: generated", "profile: shop")
CHANGED = features(models__orders="select id, upper(status) as status, price from {{ ref('stg_orders') }} where country = 'de'")
LOOPS = """
    {% if execute %}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{% endif %}
    select id from {{ ref('orders') }}"""
BAD = {
    "die": "import os\nAhead._render = lambda *_: os._exit(1)\n",
    "hang": "import time\nAhead._render = lambda *_: time.sleep(1000)\n",
    "loop": "def _loops(*_):\n    while True:\n        pass\nAhead._render = _loops\n",
    "need memory": "Ahead._render = lambda *_: [bytearray(1 << 20) for _ in range(1 << 10)]\n",
    "answer what nobody asked": "Ahead._render = lambda ahead, node: ahead._workers.sends(('model.shop.none', ('select 1', None)))\n",
}
IMPATIENT = 'MAX_CPU_S["render"] = 1.0\n'
COUNTING = """
def _alive():
    states = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open("/proc/" + name + "/stat") as file:
                states[int(name)] = file.read().rpartition(")")[2].split()[0]
        except OSError:
            pass
    return {pid for pid, state in states.items() if state != "Z"}
_before, _expect, _write = set(), expect, freshet_result.write_columns
def expect(placeholders):
    _before.update(_alive())
    _expect(placeholders)
freshet_result.write_columns = lambda results, path, facts: _write(results, path, {**facts, "alive": len(_alive() - _before)})
"""
"""The processes that are left, in the announcement of the document."""


def program(directory: Path, helpers: int, ahead: str = "", stage: str = "") -> Path:
    """The runner's program, with a number of helpers, and other ones than usual."""
    shutil.copytree(PROGRAM, directory, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in {
        "freshet_node_workers.py": f"_workers = lambda: {helpers}\n",
        "freshet_column_ahead.py": ahead,
        "freshet_column_stage.py": stage + COUNTING,
    }.items():
        with (directory / name).open("a") as file:
            file.write(text)
    return directory


async def found(stack: AsyncExitStack, directory: Path, helpers: int, ahead: str = "") -> list[Written]:
    """A first parse and one with a change of one project, and the first parses of two others."""
    made = await stack.enter_async_context(forking(RUNNER_IMAGE, program=program(directory, helpers, ahead)))
    first = await written(FEATURES, forks=made)
    others = [await written(files, forks=made, previous=previous) for files, previous in ((CHANGED, first), (GENERATED, None))]
    return [first, *others]


@pytest_asyncio.fixture(scope="module")
async def alone(tmp_path_factory: pytest.TempPathFactory) -> list[Written]:
    """What one process writes without helpers."""
    async with AsyncExitStack() as stack:
        return await found(stack, tmp_path_factory.mktemp("alone") / "program", 0)


async def test_the_document_is_the_same_with_helpers(alone: list[Written], tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        together = await found(stack, tmp_path / "program", 3)
    assert [one.document for one in together] == [one.document for one in alone]
    assert [one.announced["alive"] for one in together] == [0, 0, 0]


@pytest.mark.parametrize("kind", BAD)
async def test_a_helper_that_fails_costs_nothing_else(alone: list[Written], tmp_path: Path, kind: str) -> None:
    async with forking(RUNNER_IMAGE, program=program(tmp_path / "program", 2, BAD[kind])) as bad:
        together = await written(FEATURES, forks=bad)
    assert (together.document, together.announced["alive"], together.status) == (alone[0].document, 0, 0)


async def test_a_text_that_takes_too_long_ends_as_without_helpers(tmp_path: Path) -> None:
    files = features(models__loops=LOOPS)
    async with AsyncExitStack() as stack:
        documents = []
        for helpers in (0, 2):
            made = await stack.enter_async_context(
                forking(RUNNER_IMAGE, program=program(tmp_path / str(helpers), helpers, stage=IMPATIENT))
            )
            ended = await written(files, forks=made)
            assert (ended.announced["error"], ended.announced["alive"]) == (None, 0)
            assert "took too long: more than 1 seconds" in ended.nodes["model.loops"]["reason"]
            documents.append(ended.document)
        assert documents[0] == documents[1]
