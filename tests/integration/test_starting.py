"""What a container does to start sooner changes nothing: dbt has the same schemas, and does it all itself where it is not as expected."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from typing import Any

import pytest

from tests.integration.runner_images import RUNNER_IMAGE

pytestmark = pytest.mark.containers
START = """
import gc, importlib, json, sys
sys.path.insert(0, "/opt/freshet/runner")
import freshet_imports
adapter, packages = sys.argv[1:]
if packages:
    freshet_imports.packages = lambda: packages
with freshet_imports.quickly():
    import freshet_dbt
    mixin = freshet_imports._mixin()
    slowly = mixin.json_schema.__func__ if mixin else None
with freshet_imports.quickly():
    importlib.import_module("dbt.adapters." + adapter)
try:
    told = json.load(open(freshet_imports.SCHEMAS))["schemas"]
except OSError:
    told = {}
here = {freshet_imports._named(cls): cls for cls in freshet_imports._subclasses(mixin)} if mixin else {}
known = {name: cls for name, cls in here.items() if name in told}
differ = [name for name, cls in known.items() if json.loads(json.dumps(slowly(cls))) != cls.json_schema()]
used = bool(mixin) and mixin.json_schema.__func__ is not slowly
facts = {"known": len(known), "used": used, "differ": differ, "collects": gc.isenabled(), "frozen": gc.get_freeze_count() > 100_000}
print(json.dumps(facts))
"""


async def start(image: str, adapter: str, packages: str = "") -> Any:
    command = ("docker", "run", "--rm", "--network=none", "--entrypoint=/opt/dbt/bin/python", image, "-I", "-c", START, adapter, packages)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    said, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return json.loads(said.splitlines()[-1])


@pytest.mark.parametrize(("minor", "adapter"), [("latest", "bigquery"), ("1.7", "postgres")])
async def test_the_schemas_of_the_image_are_those_that_dbt_makes(minor: str, adapter: str) -> None:
    found = await start(RUNNER_IMAGE.replace("latest", minor), adapter)
    assert found["differ"] == []
    assert found["known"] > 100
    assert found["used"]
    assert found["collects"]
    assert found["frozen"]


async def test_with_other_packages_than_those_of_the_build_dbt_makes_its_schemas() -> None:
    found = await start(RUNNER_IMAGE, "duckdb", "others")
    assert found["known"] > 100
    assert not found["used"]
