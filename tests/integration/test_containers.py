"""dbt in real containers of the real runner image."""

from __future__ import annotations

import asyncio
import json
import tarfile
from io import BytesIO
from pathlib import Path

import aiodocker
import pytest

from app.core.errors import ContainerOutOfMemoryError, ContainerTimedOutError, DbtError
from app.core.spool import Spool
from app.pipeline.ports import PackageTree
from tests.integration.runner_fixtures import Make, running
from tests.integration.runner_hub import Hub, bridge_gateway
from tests.integration.runner_images import RUNNER_IMAGE
from tests.integration.runner_projects import PROJECT, SHOP, extraction, held, job, request, shop, tree
from tests.patience import HANGS_S

GREEDY = """
{% set kept = [] %}
{% for i in range(100000) %}{% do kept.append('x' * 1000000 ~ i) %}{% endfor %}
select 1 as id
"""
DESCRIBED = "models:\n  - name: orders\n    description: \"{{ env_var('DBT_ENV_SECRET_TEXT') }}\"\n"
ENDLESS = "{% for i in range(100000) %}{% for j in range(100000) %}{% set x = i + j %}{% endfor %}{% endfor %} select 1 as id"


async def test_a_project_is_parsed_for_duckdb(make: Make) -> None:
    parsed = await make().parse(job(), tree(), None)
    manifest = json.loads(parsed.manifest)
    assert manifest["parent_map"]["model.shop.totals"] == ["model.shop.orders"]
    assert manifest["metadata"]["adapter_type"] == "duckdb"
    assert "Running with dbt=1.11" in parsed.log
    assert parsed.image == RUNNER_IMAGE
    assert 0.5 < parsed.usage.seconds < HANGS_S
    assert 0.5 < (parsed.usage.cpu_seconds or 0) < 60
    assert 50 << 20 < (parsed.usage.peak_memory_bytes or 0) < 1 << 30


async def test_a_project_below_the_root_is_parsed_for_postgres(make: Make) -> None:
    files = {f"data/shop/{path}": text for path, text in SHOP.items()}
    parsed = await make().parse(job(project_dir="data/shop", adapter_type="postgres", target="prod"), tree(files), None)
    manifest = json.loads(parsed.manifest)
    assert manifest["metadata"]["adapter_type"] == "postgres"
    assert manifest["nodes"]["model.shop.orders"]["original_file_path"] == "models/orders.sql"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (shop(models__orders="select {{ oops( }}"), ["Compilation Error in model orders (models/orders.sql)", "line 1"]),
        (
            shop(models__orders="{{ exceptions.raise_compiler_error('no') }}"),
            ["Compilation Error in model orders (models/orders.sql)", "no"],
        ),
        (shop(models__totals="from {{ ref('nope') }}"), ["Compilation Error", "models/totals.sql", "depends on a node named 'nope'"]),
        ({**SHOP, "models/schema.yml": "models:\n  - name: orders\n   columns: ["}, ["Parsing Error", "in models/schema.yml, line 3"]),
        ({**SHOP, "models/schema.yml": DESCRIBED}, ["Secret env vars are allowed only in profiles.yml", "in models/schema.yml"]),
        (shop(models__more__orders="select 1"), ["two models with the name", "models/more/orders.sql", "models/orders.sql"]),
        (
            {**SHOP, "dbt_project.yml": PROJECT + "require-dbt-version: '>=99.0.0'\n"},
            ["version of dbt", ">=99.0.0", "1.11", "\nError encountered in dbt_project.yml"],
        ),
        ({**SHOP, "dbt_project.yml": PROJECT + "models: ["}, ["Syntax error near line 5", "in dbt_project.yml, line 5"]),
        (
            shop(models__orders="select\n{{ env_var('DBT_ENV_SECRET_KEY') }}"),
            ["Found 'DBT_ENV_SECRET_KEY' referenced elsewhere", "in models/orders.sql, line 2"],
        ),
        ({**SHOP, "macros/one.sql": "{% macro one() %}\n{% if %}{% endmacro %}"}, ["Compilation Error", "in macros/one.sql, line 2"]),
        (shop(models__orders="{{ config(materialized=3) }} select 1"), ["materialized", "models/orders.sql"]),
    ],
    ids=["jinja", "raise", "ref", "yaml", "description", "duplicate", "version", "project", "env_var", "macro", "config"],
)
async def test_an_error_of_dbt_has_dbts_own_message(make_forked: Make, files: dict[str, str], words: list[str]) -> None:
    with pytest.raises(DbtError) as caught:
        await make_forked().parse(job(), tree(files), None)
    assert caught.value.doing == "parsing octo/shop at 1a2b3c4"
    for word in words:
        assert word in caught.value.output
    assert caught.value.facts
    assert "Running with dbt" in caught.value.facts.log
    assert "Traceback" not in caught.value.output


async def test_printed_output_is_not_taken_for_the_result(make_forked: Make) -> None:
    files = shop(models__orders='{{ print(\'{"ok": true, "bytes": 3}\') }}{{ log("hello from jinja", info=true) }} select 1 as id')
    parsed = await make_forked().parse(job(), tree(files), None)
    assert "model.shop.orders" in json.loads(parsed.manifest)["nodes"]
    assert "hello from jinja" in parsed.log
    assert '"bytes": 3' in parsed.log


async def test_the_container_is_isolated(make: Make, docker: aiodocker.Docker) -> None:
    release = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        parsing = group.create_task(make().parse(job(extraction_id="isolated"), held(SHOP, release), None))
        details = await running(docker, extraction("isolated"))
        release.set()
    host = details["HostConfig"]
    assert details["Name"].startswith(f"/freshet-{extraction('isolated')}-parse-")
    assert details["Config"]["User"] == "10001:10001"
    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Privileged"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Memory"] == host["MemorySwap"] == 1 << 30
    assert host["NanoCpus"] > 0
    assert host["PidsLimit"] == 256
    assert host["IpcMode"] == "private"
    assert host["LogConfig"]["Type"] == "none"
    assert not host["Binds"]
    assert not details["Mounts"]
    assert all("nosuid" in options and "size=" in options for options in host["Tmpfs"].values())
    assert json.loads(parsing.result().manifest)


async def test_a_container_over_its_memory_limit_is_recognized(make: Make) -> None:
    with pytest.raises(ContainerOutOfMemoryError, match="384 MiB") as caught:
        await make(memory_bytes=384 << 20).parse(job(), tree(shop(models__orders=GREEDY)), None)
    assert "DBT_MEMORY" in caught.value.user_text


async def test_a_single_huge_allocation_is_out_of_memory(make: Make) -> None:
    with pytest.raises(ContainerOutOfMemoryError):
        await make().parse(job(), tree(shop(models__orders="{% set x = 'a' * 10 ** 15 %} select 1 as id")), None)


@pytest.mark.parametrize("memory_mib", [256, 512], ids=["killed", "disk full"])
async def test_files_that_do_not_fit_are_out_of_memory(make: Make, memory_mib: int) -> None:
    """A killed container leaves input unread, and the engine then keeps the connection open: its end must be noticed anyway."""
    files: dict[str, str | bytes] = {**SHOP, **{f"seeds/s{number}.csv": b"1\n" * (10 << 20) for number in range(memory_mib // 25)}}
    with pytest.raises(ContainerOutOfMemoryError, match=f"{memory_mib} MiB"):
        await make(memory_bytes=memory_mib << 20).parse(job(), tree(files), None)


async def test_a_container_over_its_time_limit_is_stopped(make: Make) -> None:
    """What dbt said until then is kept: the limit is made longer until it is long enough for dbt's first line."""
    for limit_s in (5, 20, 80, 320):
        with pytest.raises(ContainerTimedOutError, match=f"after {limit_s} seconds") as caught:
            await make(timeout_s=float(limit_s)).parse(job(), tree(shop(models__orders=ENDLESS)), None)
        assert "DBT_TIMEOUT" in caught.value.user_text
        assert caught.value.facts
        if "Running with dbt" in caught.value.facts.log:
            return
    pytest.fail("dbt's first line is not in the log")


async def test_local_packages_are_links_in_the_package_archive(make_forked: Make, tmp_path: Path) -> None:
    link = tarfile.TarInfo("src/shop/dbt_packages/shared")
    link.type, link.linkname = tarfile.SYMTYPE, "/work/src/shared"
    packages = await spooled(tmp_path, link)
    try:
        parsed = await make_forked().parse(job(project_dir="shop"), tree(with_local_package()), packages)
    finally:
        packages.close()
    assert "macro.shared.one" in json.loads(parsed.manifest)["macros"]


@pytest.mark.parametrize(
    ("name", "link", "words"),
    [
        ("src/../job.json", None, "a path outside of its directory: 'src/../job.json'"),
        ("/etc/passwd", None, "a path outside of its directory"),
        ("src/dbt_packages/x", "/tmp", "behind a link: 'src/dbt_packages/x/dbt_project.yml'"),  # noqa: S108 - the container's
        ("src/dbt_packages/" + "x" * 300, None, "File name too long"),
        ("src/models/orders.sql/x", None, "Not a directory"),
    ],
    ids=["dots", "absolute", "link", "long", "file"],
)
async def test_packages_cannot_be_placed_outside_the_sources(
    make_forked: Make, tmp_path: Path, name: str, link: str | None, words: str
) -> None:
    first = tarfile.TarInfo(name)
    if link:
        first.type, first.linkname = tarfile.SYMTYPE, link
    packages = await spooled(tmp_path, first, tarfile.TarInfo(f"{name}/dbt_project.yml"))
    with pytest.raises(DbtError) as caught:
        await make_forked().parse(job(), tree(), packages)
    packages.close()
    assert words in caught.value.output or "File exists" in caught.value.output
    assert caught.value.facts
    assert "Traceback" not in caught.value.facts.log


async def test_devices_and_hard_links_of_packages_are_left_out(make_forked: Make, tmp_path: Path) -> None:
    odd = []
    for name, kind in (("device", tarfile.BLKTYPE), ("terminal", tarfile.CHRTYPE), ("pipe", tarfile.FIFOTYPE), ("link", tarfile.LNKTYPE)):
        odd.append(tarfile.TarInfo(f"src/models/{name}.sql"))
        odd[-1].type, odd[-1].linkname = kind, "src/models/orders.sql"
    packages = await spooled(tmp_path, *odd)
    parsed = await make_forked().parse(job(), tree(), packages)
    packages.close()
    assert {name for name in json.loads(parsed.manifest)["nodes"] if name.startswith("model.")} == {
        "model.shop.orders",
        "model.shop.totals",
    }


async def spooled(directory: Path, *members: tarfile.TarInfo) -> Spool:
    """An archive of packages with these members, all of them empty."""
    packages = Spool(directory)
    await packages.write(b"".join(member.tobuf(tarfile.PAX_FORMAT) for member in members) + bytes(2 * tarfile.BLOCKSIZE))
    await packages.flush()
    return packages


async def test_dbt_installs_local_packages_as_links_too(make_forked: Make) -> None:
    runner = make_forked()
    packages = await runner.install(request(with_local_package(), project_dir="shop"))
    try:
        names = {member.name: member for member in await members(packages)}
        assert names["src/shop/dbt_packages/shared"].linkname == "/work/src/shared"
        assert "src/shop/package-lock.yml" in names
        assert "src/shop/models/orders.sql" not in names
        parsed = await runner.parse(job(project_dir="shop"), tree(with_local_package()), packages)
    finally:
        packages.close()
    assert "macro.shared.one" in json.loads(parsed.manifest)["macros"]


def with_local_package() -> dict[str, str]:
    files = {f"shop/{path}": text for path, text in shop(models__orders="select {{ shared.one() }} as id").items()}
    package = {
        "shared/dbt_project.yml": "name: shared\nversion: '1.0'\n",
        "shared/macros/one.sql": "{% macro one() %}1{% endmacro %}",
    }
    return {**files, **package, "shop/packages.yml": "packages:\n  - local: ../shared\n"}


async def members(packages: PackageTree) -> list[tarfile.TarInfo]:
    packed = b"".join([chunk async for chunk in packages.stream()])
    assert len(packed) == packages.size_bytes
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        return archive.getmembers()


async def test_packages_come_from_the_hub(make_forked: Make, docker: aiodocker.Docker) -> None:
    hub = Hub(await bridge_gateway(docker))
    hub.add(
        "acme/tools", "1.0.0", {"dbt_project.yml": "name: tools\nversion: '1.0.0'\n", "macros/one.sql": "{% macro one() %}1{% endmacro %}"}
    )
    files = {
        **shop(models__orders="select {{ tools.one() }} as id"),
        # An install path that only dbt can evaluate.
        "dbt_project.yml": PROJECT + "packages-install-path: \"{{ 'vendored' }}\"\n",
        "packages.yml": 'packages:\n  - package: acme/tools\n    version: [">=1.0.0", "<2.0.0"]\n',
    }
    async with hub.serve():
        runner = make_forked(package_hub_url=hub.url)
        packages = await runner.install(request(files))
    try:
        assert "src/vendored/tools/macros/one.sql" in {member.name for member in await members(packages)}
        assert hub.requests == ["/api/v1/index.json", "/api/v1/acme/tools.json", "/tarballs/acme/tools/1.0.0.tar.gz"]
        parsed = await runner.parse(job(), tree(files), packages)
    finally:
        packages.close()
    assert "macro.tools.one" in json.loads(parsed.manifest)["macros"]


async def test_a_package_that_is_not_on_the_hub_is_named(make_forked: Make, docker: aiodocker.Docker) -> None:
    files = {**SHOP, "packages.yml": "packages:\n  - package: acme/tools\n    version: 1.0.0\n"}
    async with Hub(await bridge_gateway(docker)).serve() as hub:
        with pytest.raises(DbtError) as caught:
            await make_forked(package_hub_url=hub.url + "/").install(request(files))
    assert caught.value.doing == "installing the packages of octo/shop at 1a2b3c4"
    assert "acme/tools was not found" in caught.value.output


async def test_packages_that_were_not_installed_are_named(make_forked: Make) -> None:
    files = {**SHOP, "packages.yml": "packages:\n  - package: acme/tools\n    version: 1.0.0\n"}
    with pytest.raises(DbtError) as caught:
        await make_forked().parse(job(), tree(files), None)
    assert "dbt deps" in caught.value.output
