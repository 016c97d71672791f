"""Packages brought by our own process: resolved as dbt does it, fetched as data, kept, and each trouble named."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import tarfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from app.errors import PackagesError, UnavailableError
from app.hub.tarball import Bounds
from app.settings import PackageRule
from tests.integration.hub_world import SERVER, World, locked, package, worlds
from tests.integration.runner_hub import tarball

PROJECT = {"dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with worlds(tmp_path) as made:
        yield made


def asking(packages: str, **more: str) -> dict[str, str]:
    return {**PROJECT, "packages.yml": f"packages:\n{packages}", **more}


def hub(name: str, version: str) -> str:
    return f"  - package: {name}\n    version: {version}\n"


async def refused(world: World, files: Mapping[str, str], **more: object) -> PackagesError:
    with pytest.raises(PackagesError) as caught:
        await world.install(files, **more)
    assert caught.value.doing == "installing the packages of octo/shop at 1a2b3c4"
    return caught.value


async def test_packages_of_every_kind_go_where_dbt_looks_for_them(world: World) -> None:
    nested = [{"package": "acme/base", "version": [">=1.0.0", "<2.0.0"]}]
    for version in ("1.0.0", "1.5.0", "2.0.0"):
        world.hub.add("acme/base", version, package("base", number=version))
    world.hub.add("acme/tools", "1.0.0", {**package("tools", one="1"), "LICENSE": "x", "seeds/s.csv": "a\n" * 50_000}, packages=nested)
    inner = {"packages.yml": f"packages:\n{hub('acme/base', '1.0.0')}"}
    world.git.add(
        "https://git.example/octo/kit.git", {f"dbt/{name}": text for name, text in {**package("kit", two="2"), **inner}.items()}, "v1"
    )
    world.git.add(f"{SERVER}/octo/own.git", package("own", three="3"))
    url = world.hub.put("x.tar.gz", tarball("anything", package("named_otherwise", four="4")))
    asked = (
        hub("acme/tools", "'>=0.1.0'")
        + "  - git: https://git.example/octo/kit.git\n    revision: v1\n    subdirectory: dbt\n"
        + "  - private: octo/own\n  - local: ../shared\n"
        + f"  - tarball: {url}\n    name: extra\n"
    )
    files = {f"shop/{name}": text for name, text in asking(asked).items()}
    found = await world.files({**files, "shared/dbt_project.yml": "name: shared\n"}, project_dir="shop")
    top = "src/shop/dbt_packages"
    assert found[f"{top}/base/macros/number.sql"] == "{% macro number() %}1.0.0{% endmacro %}"
    assert found[f"{top}/shared"] == "-> ../../shared"
    assert f"{top}/tools/LICENSE" not in found
    assert 1000 < len(found[f"{top}/tools/seeds/s.csv"]) <= 64 << 10
    for name in ("tools/macros/one.sql", "kit/macros/two.sql", "own/macros/three.sql", "extra/macros/four.sql"):
        assert f"{top}/{name}" in found


async def test_what_is_kept_costs_no_request(world: World) -> None:
    world.hub.add("acme/tools", "1.0.0", package("tools", one="1"))
    sha = world.git.add("https://git.example/octo/kit", package("kit", two="2"))
    files = asking(hub("acme/tools", "'>=1.0.0'") + f"  - git: https://git.example/octo/kit\n    revision: {sha}\n")
    first = await world.files(files)
    requests, opened = len(world.hub.requests), len(world.git.opened)
    since = time.monotonic()
    assert await world.files(files) == first
    assert time.monotonic() - since < 0.5
    assert (len(world.hub.requests), len(world.git.opened)) == (requests, opened)
    assert requests == 2
    # Another installation has nothing of it.
    assert await world.files(files, installation_id=2) == first
    assert len(world.git.opened) == opened + 1
    await world.installer.remove(1)
    assert await world.files(files) == first
    assert len(world.git.opened) == opened + 2


async def test_what_is_not_pinned_is_looked_up_again_and_its_files_are_not(tmp_path: Path) -> None:
    async with worlds(tmp_path, keep_s=0.0) as world:
        world.hub.add("acme/tools", "1.0.0", package("tools", one="1"))
        loose, exact = asking(hub("acme/tools", "'>=1.0.0'")), asking(hub("acme/tools", "1.0.0"))
        for _ in range(2):
            await world.files(loose)
        assert world.hub.requests.count("/tarballs/acme/tools/1.0.0.tar.gz") == 1
        await world.files(exact)
        world.hub.add("acme/tools", "1.1.0", package("tools", one="new"))
        world.installer._registry._recent.clear()
        requests = len(world.hub.requests)
        assert "new" in (await world.files(loose))["src/dbt_packages/tools/macros/one.sql"]
        assert len(world.hub.requests) > requests
        requests = len(world.hub.requests)
        assert "new" not in (await world.files(exact))["src/dbt_packages/tools/macros/one.sql"]
        assert len(world.hub.requests) == requests


async def test_what_is_damaged_is_fetched_again(world: World, tmp_path: Path) -> None:
    world.hub.add("acme/tools", "1.0.0", package("tools", one="1"))
    files = asking(hub("acme/tools", "1.0.0"))
    first = await world.files(files)
    for path in (tmp_path / "work" / "packages" / "1").iterdir():
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert await world.files(files) == first
    assert world.hub.requests.count("/tarballs/acme/tools/1.0.0.tar.gz") == 2


async def test_what_is_asked_for_twice_at_once_is_fetched_once(world: World) -> None:
    world.hub.add("acme/tools", "1.0.0", package("tools", one="1"))
    world.hub.delay_s = 0.05
    wanted = [asking(hub("acme/tools", "1.0.0"), **{"dependencies.yml": f"# {number}"}) for number in range(3)]
    await asyncio.gather(*(world.files(files) for files in [*wanted, *wanted]))
    assert sorted(world.hub.requests) == ["/api/v1/acme/tools.json", "/tarballs/acme/tools/1.0.0.tar.gz"]


async def test_the_cache_is_bounded_and_what_is_in_use_stays_readable(world: World, tmp_path: Path) -> None:
    world.hub.add("acme/tools", "1.0.0", package("tools", one="1"))
    packages = await world.install(asking(hub("acme/tools", "1.0.0")))
    kept = tmp_path / "work" / "packages" / "1"
    await world.installer.tidy()
    assert list(kept.iterdir())
    for path in kept.iterdir():
        os.utime(path, (1, 1))
    await world.installer.tidy()
    assert not list(kept.iterdir())
    assert len(b"".join([chunk async for chunk in packages.stream()])) == packages.size_bytes
    packages.close()


async def test_a_lock_file_pins_what_is_fetched(world: World) -> None:
    for version in ("1.0.0", "1.1.0"):
        world.hub.add("acme/tools", version, package("tools", number=version))
    lock = "packages:\n- package: acme/tools\n  name: tools\n  version: 1.0.0\nsha1_hash: {}\n"
    files = asking(hub("acme/tools", "'>=1.0.0'"))
    matching = {**files, "package-lock.yml": lock.format("57b1567e48d2801b30d6db08bd52550f08664643")}
    other = {**files, "package-lock.yml": lock.format("0" * 40)}
    assert "1.1.0" in (await world.files(other))["src/dbt_packages/tools/macros/number.sql"]
    assert "1.0.0" in (await world.files(matching))["src/dbt_packages/tools/macros/number.sql"]


async def test_every_package_that_cannot_be_had_is_named_at_its_line(world: World) -> None:
    world.hub.add("acme/tools", "1.0.0", package("tools"))
    world.hub.add("acme/tampered", "1.0.0", package("tampered"), sha1="0" * 40)
    world.hub.add_archive("acme/broken", "1.0.0", b"this is no archive")
    world.hub.add("acme/empty", "1.0.0", {"README.md": "x"})
    world.hub.add("acme/deep", "1.0.0", package("deep"), packages=[{"package": "acme/missing2", "version": "1.0.0"}])
    asked = (
        hub("acme/missing", "1.0.0")
        + hub("acme/tools", "2.0.0")
        + hub("acme/tampered", "1.0.0")
        + hub("acme/broken", "1.0.0")
        + hub("acme/empty", "1.0.0")
        + hub("acme/deep", "1.0.0")
        + "  - git: https://git.example/octo/secret\n"
        + "  - tarball: https://169.254.169.254/latest/x.tar.gz\n    name: meta\n"
        + "  - local: ../../outside\n"
        + "  - local: nothing\n"
    )
    error = await refused(world, asking(asked))
    said = {remark.line: f"{remark.title}\n{remark.message}" for remark in error.remarks}
    expected = {
        2: "The package hub has no package acme/missing.",
        4: "`packages.yml` asks for 2.0.0; the newest there are: 1.0.0",
        6: "its SHA-1 is",
        8: "not a package that can be read",
        10: "no `dbt_project.yml`",
        12: "`acme/missing2`, which the package acme/deep 1.0.0 asks for, cannot be had",
        14: "not public and not part of this installation. Add it to the App.",
        15: "169.254.169.254 is an address, not the name of a host",
        17: "outside of the repository",
        18: "There is no `nothing/dbt_project.yml`",
    }
    assert said.keys() == expected.keys()
    for line, words in expected.items():
        assert words in said[line], said[line]
    assert {remark.path for remark in error.remarks} == {"packages.yml"}
    assert {remark.level for remark in error.remarks} == {"failure"}
    assert "10 of its packages" in error.reason


async def test_packages_that_dbt_could_not_tell_apart_are_named(world: World) -> None:
    world.hub.add("acme/tools", "1.0.0", package("tools"))
    world.hub.add("other/tools", "1.0.0", package("tools"))
    world.hub.add("acme/shop", "1.0.0", package("shop"))
    asked = hub("acme/tools", "1.0.0") + hub("other/tools", "1.0.0") + hub("acme/shop", "1.0.0")
    error = await refused(world, asking(asked))
    assert [(remark.line, "same name" in remark.message, "project itself" in remark.message) for remark in error.remarks] == [
        (4, True, False),
        (6, False, True),
    ]


async def test_a_rule_replaces_a_package_or_leaves_it_out(world: World) -> None:
    world.git.add(f"{SERVER}/octo/tools.git", package("tools", one="ours"))
    rules = (PackageRule("acme/tools", use="octo/tools"), PackageRule("https://git.example/octo/secret", skip=True))
    asked = hub("acme/tools", "1.0.0") + "  - git: https://git.example/octo/secret.git\n    revision: v1\n"
    found = await world.files(asking(asked), rules=rules)
    assert "ours" in found["src/dbt_packages/tools/macros/one.sql"]
    # dbt counts: it wants to see as many packages as the project names.
    assert "name: secret\n" in found["src/dbt_packages/secret/dbt_project.yml"]
    assert world.hub.requests == []


async def test_a_hub_that_is_away_for_a_moment_is_asked_again(world: World) -> None:
    world.hub.add("acme/tools", "1.0.0", package("tools"))
    files = asking(hub("acme/tools", "1.0.0"))
    world.hub.failures = 2
    assert await world.files(files)
    world.hub.failures = 99
    with pytest.raises(UnavailableError) as caught:
        await world.install(files, installation_id=2)
    assert "503" in caught.value.reason
    world.hub.failures = 0
    assert await world.files(files, installation_id=2)


async def test_a_package_that_moved_is_followed_when_nothing_is_left_at_its_old_name(world: World) -> None:
    world.hub.add("new/tools", "1.0.0", package("tools", one="1"))
    world.hub.moved["old/tools"] = "new/tools"
    assert "src/dbt_packages/tools/macros/one.sql" in await world.files(asking(hub("old/tools", "1.0.0")))


async def test_packages_that_ask_for_each_other_come_to_an_end(world: World) -> None:
    world.hub.add("acme/a", "1.0.0", package("a"), packages=[{"package": "acme/b", "version": ">=1.0.0"}])
    world.hub.add("acme/b", "1.0.0", package("b"), packages=[{"package": "acme/a", "version": ">=1.0.0"}])
    assert len(locked(await world.files(asking(hub("acme/a", "1.0.0"))))) == 2


def hostile() -> bytes:
    """Return an archive with all that must not come out of one."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:

        def add(name: str, content: bytes = b"x", **facts: object) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in facts.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))

        add("top/dbt_project.yml", b"name: tools\n")
        add(f"top/macros/{'n' * 180}.sql")
        for name in (
            "top/../../etc/x.sql",
            "/etc/x.sql",
            "top/./../x.sql",
            "top//a.sql",
            "top/.git/x.yml",
            "top/a\nb.sql",
            f"top/{'d/' * 600}x.sql",
        ):
            add(name)
        add("top/link.sql", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add("top/hard.sql", b"", type=tarfile.LNKTYPE, linkname="top/dbt_project.yml")
        add("top/device.sql", b"", type=tarfile.CHRTYPE)
        add("top/pipe.sql", b"", type=tarfile.FIFOTYPE)
        add("top/dbt_project.yml/under.sql")
        add("top/macros", b"file where a directory is")
        add("top/dbt_project.yml", b"name: twice\n")
    return packed.getvalue()


async def test_only_plain_files_come_out_of_an_archive(world: World) -> None:
    world.hub.add_archive("acme/tools", "1.0.0", hostile())
    found = await world.files(asking(hub("acme/tools", "1.0.0")))
    assert locked(found) == ["tools"]
    del found["src/package-lock.yml"]
    assert found == {
        "src/dbt_packages/tools/dbt_project.yml": "name: tools\n",
        f"src/dbt_packages/tools/macros/{'n' * 180}.sql": "x",
    }


def zeros(size: int) -> bytes:
    """Return an archive with a file of zeros, which packs to next to nothing."""
    info = tarfile.TarInfo("top/big.bin")
    info.size = size
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as out:
        out.write(info.tobuf())
        for _ in range(size >> 20):
            out.write(bytes(1 << 20))
    return packed.getvalue()


def headers(size: int) -> bytes:
    """Return an archive that begins with a name that is `size` bytes long."""
    info = tarfile.TarInfo("top/x")
    info.type, info.size = tarfile.XHDTYPE, size
    return gzip.compress(info.tobuf() + bytes(1 << 20))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (zeros(32 << 20), "over 16 MiB unpacked"),
        (headers(1 << 30), "a name that is too long"),
        (tarball("top", {f"models/{number}.sql": "" for number in range(30)}), "more than 20 files"),
        (tarball("top", {"models/big.sql": "x" * (2 << 20)}), "1 MiB that dbt reads"),
        (tarball("top", {"a.sql": "x"})[:-20], "not a package that can be read"),
        (tarball(".", {"a/dbt_project.yml": "x", "b/x.sql": "x"}), "more than one directory at its top"),
        (b"", "no `dbt_project.yml`"),
    ],
    ids=["bomb", "header", "files", "bytes", "cut", "two", "nothing"],
)
async def test_an_archive_that_is_too_much_or_broken_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    bounds = Bounds(files=20, kept_bytes=1 << 20, raw_bytes=16 << 20, entries=100)
    async with worlds(tmp_path, bounds=bounds) as world:
        world.hub.add_archive("acme/tools", "1.0.0", data)
        error = await refused(world, asking(hub("acme/tools", "1.0.0")))
        assert words in error.remarks[0].message


async def test_bringing_packages_has_an_end(tmp_path: Path) -> None:
    async with worlds(tmp_path, timeout_s=0.2) as world:
        world.hub.add("acme/tools", "1.0.0", package("tools"))
        world.hub.delay_s = 1.0
        error = await refused(world, asking(hub("acme/tools", "1.0.0")))
        assert "longer than 0.2 s" in error.user_text


async def test_packages_are_not_without_number(world: World) -> None:
    many = asking("".join(hub(f"acme/p{number}", "1.0.0") for number in range(250)))
    (remark,) = (await refused(world, many)).remarks
    assert "More than 200 packages" in remark.message
    assert world.hub.requests == []
