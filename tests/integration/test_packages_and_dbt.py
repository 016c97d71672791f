"""Our packages compared with `dbt deps` in a container, and parsed by `dbt parse` without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.pipeline.ports import PackageTree
from app.project.repository_settings import PackageRule
from app.runner.docker.engine import connect
from tests.integration.packages_world import World, locked, package, request, unpacked, worlds
from tests.integration.runner_fixtures import runners
from tests.integration.runner_hub import Hub, bridge_gateway, tarball
from tests.integration.runner_projects import SHOP, tree

pytestmark = pytest.mark.containers
CASES: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "exact": ("1.0.0", {"1.0.0": {}, "1.1.0": {}}),
    "range": ('[">=1.0.0", "<2.0.0"]', {"0.9.0": {}, "1.9.0": {}, "1.10.0": {}, "2.0.0-rc1": {}, "2.0.0": {}}),
    "below": ("'<2.0.0'", {"1.0.0": {}, "1.1.0-rc1": {}, "2.0.0-a": {}, "2.0.0": {}}),
    "candidates": ("'>=1.0.0'\n    install_prerelease: true", {"1.0.0": {}, "1.1.0-rc.2": {}, "1.1.0-rc.10": {}}),
    "candidate": ("'>=1.0.0-b1'", {"1.0.0": {}, "1.1.0-b2": {}}),
    "for_dbt": ("'>=1.0.0'", {"1.0.0": {"requires": [">=1.0.0", "<2.0.0"]}, "1.1.0": {"requires": [">=9.0.0"]}}),
    "evaluated": ("\"{{ env_var('NOT_SET', '1.0.0') }}\"", {"1.0.0": {}, "2.0.0": {}}),
    "asks": (
        "1.0.0",
        {"1.0.0": {"packages": [{"package": "acme/narrowed", "version": ["<1.2.0"]}, {"package": "acme/nested", "version": "1.0.0"}]}},
    ),
    "narrowed": ("'>=1.0.0'", {"1.0.0": {}, "1.1.0": {}, "1.2.0": {}}),
    "nested": ("", {"1.0.0": {}, "1.1.0": {}}),
    "named": ("1.0.0", {"1.0.0": {"name": "another_name"}}),
}


def add_all(hub: Hub) -> str:
    """Fill a hub with the cases; the entries of `packages.yml` that request them."""
    asked = ""
    for name, (wanted, versions) in CASES.items():
        for version, facts in versions.items():
            content = package(facts.get("name", name), **{f"{name}_version": version})
            hub.add(f"acme/{name}", version, {**content, f"models/{name}_model.sql": "select 1 as id", "LICENSE": "not read"}, **facts)
        asked += f"  - package: acme/{name}\n    version: {wanted}\n" if wanted else ""
    url = hub.put("x.tar.gz", tarball("whatever", package("inside", packed="x")))
    return f"packages:\n{asked}  - local: shared\n  - tarball: {url}\n    name: packed\n"


async def test_installed_packages_are_those_of_dbt_deps_and_can_be_parsed(tmp_path: Path) -> None:
    async with connect() as docker, runners(docker, tmp_path) as make, worlds(tmp_path, await bridge_gateway(docker)) as world:
        files = {**SHOP, "packages.yml": add_all(world.hub), **{f"shared/{name}": text for name, text in package("shared", s="1").items()}}
        runner = make(package_hub_url=world.hub.url)
        image = (await runner.images())[0]
        ours = await world.install(files, image=image)
        theirs = await runner.install(request(files, image=image))
        try:
            await assert_same(ours, theirs)
            lock = (await unpacked(theirs))["src/package-lock.yml"]
            parsed = await runner.parse(request(files, image=image).job, tree(files), ours)
        finally:
            ours.close()
            theirs.close()
        macros = json.loads(parsed.manifest)["macros"]
        assert {"macro.narrowed.narrowed_version", "macro.shared.s", "macro.another_name.named_version"} <= macros.keys()
        assert "model.range.range_model" in json.loads(parsed.manifest)["nodes"]
        await a_lock_file_of_dbt_holds(world, files, lock)


async def assert_same(ours: PackageTree, theirs: PackageTree) -> None:
    """Compare the files that dbt reads; dbt's link is absolute in the container."""
    found, expected = await unpacked(ours), await unpacked(theirs)
    installed = {name: text for name, text in expected.items() if "/dbt_packages/" in name and not name.endswith("LICENSE")}
    assert installed.pop("src/dbt_packages/shared") == "-> /work/src/shared"
    assert found.pop("src/dbt_packages/shared") == "-> ../shared"
    assert locked(found) == sorted(one["name"] for one in yaml.safe_load(expected["src/package-lock.yml"])["packages"])
    del found["src/package-lock.yml"]
    assert found == installed
    assert len(found) > 20


async def a_lock_file_of_dbt_holds(world: World, files: dict[str, str], lock: str) -> None:
    """With a lock file from dbt, newer versions on the hub are not installed."""
    world.hub.add("acme/range", "1.99.0", package("range"))
    found = await world.files({**files, "package-lock.yml": lock})
    assert "1.10.0" in found["src/dbt_packages/range/macros/range_version.sql"]


async def test_dbt_accepts_a_skipped_package(tmp_path: Path) -> None:
    async with connect() as docker, runners(docker, tmp_path) as make, worlds(tmp_path) as world:
        runner = make()
        files = {**SHOP, "packages.yml": "packages:\n  - package: acme/tools\n    version: 1.0.0\n"}
        packages = await world.install(files, rules=(PackageRule("acme/tools", skip=True),))
        try:
            parsed = await runner.parse(request(files, image=(await runner.images())[0]).job, tree(files), packages)
        finally:
            packages.close()
    assert "model.shop.totals" in json.loads(parsed.manifest)["nodes"]
