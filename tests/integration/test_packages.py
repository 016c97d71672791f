"""Packages installed by our own process: resolved as dbt does, fetched as data, cached, with an annotation for each problem."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import tarfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest

from app.core.errors import PackagesError, UnavailableError
from app.packages.fetch import installer
from app.packages.fetch.tarball import PackageLimits
from app.project.repository_settings import PackageRule
from tests.integration.packages_world import SERVER, World, locked, package, request, worlds
from tests.integration.runner_hub import tarball

PROJECT = {"dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with worlds(tmp_path) as made:
        yield made


def project(packages: str, **more: str) -> dict[str, str]:
    return {**PROJECT, "packages.yml": f"packages:\n{packages}", **more}


def hub(name: str, version: str) -> str:
    return f"  - package: {name}\n    version: {version}\n"


async def packages_error(world: World, files: Mapping[str, str], **more: object) -> PackagesError:
    with pytest.raises(PackagesError) as caught:
        await world.install(files, **more)
    assert caught.value.doing == "installing the packages of octo/shop at 1a2b3c4"
    return caught.value


async def test_packages_of_every_kind_are_installed_where_dbt_expects_them(world: World) -> None:
    nested = [{"package": "acme/base", "version": [">=1.0.0", "<2.0.0"]}]
    for version in ("1.0.0", "1.5.0", "2.0.0"):
        world.hub.add("acme/base", version, package("base", number=version))
    world.hub.add("acme/tools", "1.0.0", {**package("tools", one="1"), "LICENSE": "x", "seeds/s.csv": "a\n" * 600_000}, packages=nested)
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
    files = {f"shop/{name}": text for name, text in project(asked).items()}
    found = await world.files({**files, "shared/dbt_project.yml": "name: shared\n"}, project_dir="shop")
    top = "src/shop/dbt_packages"
    assert found[f"{top}/base/macros/number.sql"] == "{% macro number() %}1.0.0{% endmacro %}"
    assert found[f"{top}/shared"] == "-> ../../shared"
    assert f"{top}/tools/LICENSE" not in found
    assert len(found[f"{top}/tools/seeds/s.csv"]) == (1 << 20) + 1
    for name in ("tools/macros/one.sql", "kit/macros/two.sql", "own/macros/three.sql", "extra/macros/four.sql"):
        assert f"{top}/{name}" in found


async def test_committed_packages_are_not_fetched_and_missing_ones_are(world: World) -> None:
    world.hub.add("acme/tools", "1.0.0", package("tools", one="1"))
    committed = {f"dbt_packages/kit/{name}": text for name, text in package("kit", two="2").items()}
    files = project(hub("acme/tools", "1.0.0") + hub("acme/kit", "9.9.9") + "  - local: shared\n")
    found = await world.files(
        {**files, **committed, "shared/dbt_project.yml": "name: shared\n"}, committed={"acme/kit": "dbt_packages/kit"}
    )
    assert locked(found) == ["kit", "shared", "tools"]
    assert not any(name.startswith("src/dbt_packages/kit") for name in found)
    assert "src/dbt_packages/tools/macros/one.sql" in found


async def test_a_local_package_in_a_submodule_is_said_to_be_in_one(world: World) -> None:
    unfetched = {"libs/shared": "is a git submodule, which Freshet does not fetch"}
    error = await packages_error(world, project("  - local: libs/shared/dbt\n"), unfetched=unfetched)
    (annotation,) = error.annotations
    assert annotation.message == (
        "Package `libs/shared/dbt` is not in the commit: `libs/shared` is a git submodule, which Freshet does not fetch (requested in "
        "`packages.yml`, line 2). Request it by its `git:` address and a `revision` instead of `local:`, or commit its files."
    )


async def test_links_in_a_git_package_are_followed(world: World) -> None:
    url = "https://git.example/octo/kit.git"
    world.git.add(
        url, {f"dbt/{name}": text for name, text in package("kit").items()} | {"common/two.sql": "{% macro two() %}2{% endmacro %}"}
    )
    path = world.git.repositories[url]
    (path / "dbt/macros").symlink_to("../common")
    (path / "dbt/tests").mkdir()
    (path / "dbt/tests/again.sql").symlink_to("../macros/two.sql")
    (path / "dbt/tests/out.sql").symlink_to("/etc/passwd")
    world.git.add(url, {"README.md": "x"})
    found = await world.files(project(f"  - git: {url}\n    revision: main\n    subdirectory: dbt\n"))
    same = "{% macro two() %}2{% endmacro %}"
    assert found["src/dbt_packages/kit/macros/two.sql"] == found["src/dbt_packages/kit/tests/again.sql"] == same
    assert "src/dbt_packages/kit/tests/out.sql" not in found


async def test_cached_packages_need_no_request(world: World) -> None:
    world.hub.add("acme/tools", "1.0.0", package("tools", one="1"))
    sha = world.git.add("https://git.example/octo/kit", package("kit", two="2"))
    files = project(hub("acme/tools", "'>=1.0.0'") + f"  - git: https://git.example/octo/kit\n    revision: {sha}\n")
    first = await world.files(files)
    requests, opened = len(world.hub.requests), len(world.git.opened)
    assert await world.files(files) == first
    assert (len(world.hub.requests), len(world.git.opened)) == (requests, opened)
    assert requests == 2
    # Installations share no cache.
    assert await world.files(files, installation_id=2) == first
    assert len(world.git.opened) == opened + 1
    await world.installer.remove(1)
    assert await world.files(files) == first
    assert len(world.git.opened) == opened + 2


async def test_an_unpinned_version_is_resolved_again_without_fetching_its_files_again(world: World) -> None:
    world.hub.add("acme/tools", "1.0.0", package("tools", one="1"))
    loose, exact = project(hub("acme/tools", "'>=1.0.0'")), project(hub("acme/tools", "1.0.0"))
    for _ in range(2):
        await world.files(loose, since=time.time())
    assert world.hub.requests.count("/tarballs/acme/tools/1.0.0.tar.gz") == 1
    await world.files(exact)
    world.hub.add("acme/tools", "1.1.0", package("tools", one="new"))
    requests = len(world.hub.requests)
    assert "new" in (await world.files(loose, since=time.time()))["src/dbt_packages/tools/macros/one.sql"]
    assert len(world.hub.requests) > requests
    requests = len(world.hub.requests)
    assert "new" not in (await world.files(exact, since=time.time()))["src/dbt_packages/tools/macros/one.sql"]
    assert len(world.hub.requests) == requests


async def test_a_push_after_a_package_moved_has_another_input(world: World) -> None:
    async def identified(entry: str) -> str:
        return await world.installer.identify(request(project(entry), since=time.time()))

    url = world.hub.put("extra.tar.gz", tarball("extra", package("extra", one="1")))
    world.hub.add("acme/tools", "1.0.0", package("tools", one="1"))
    pinned = world.git.add("https://git.example/octo/kit", package("kit", one="1"))
    entries = {
        "range": hub("acme/tools", "'>=1.0.0'"),
        "branch": "  - git: https://git.example/octo/kit\n    revision: main\n",
        "tarball": f"  - tarball: {url}\n    name: extra\n",
        "exact": hub("acme/tools", "1.0.0"),
        "commit": f"  - git: https://git.example/octo/kit\n    revision: {pinned}\n",
    }
    before = {kind: await identified(entry) for kind, entry in entries.items()}
    assert {kind: await identified(entry) for kind, entry in entries.items()} == before
    await asyncio.sleep(1.0)  # archives are dated to the second
    world.hub.put("extra.tar.gz", tarball("extra", package("extra", one="2")))
    world.hub.add("acme/tools", "1.1.0", package("tools", one="2"))
    world.git.add("https://git.example/octo/kit", package("kit", one="2"))
    after = {kind: await identified(entry) for kind, entry in entries.items()}
    assert {kind for kind in entries if after[kind] != before[kind]} == {"range", "branch", "tarball"}


async def test_while_a_host_does_not_answer_packages_are_as_they_were(tmp_path: Path) -> None:
    async with worlds(tmp_path) as world:
        world.hub.add("acme/tools", "1.0.0", package("tools", one="1"))
        loose = project(hub("acme/tools", "'>=1.0.0'"))
        first = await world.files(loose)
        world.hub.failures = 100
        assert await world.files(loose, since=time.time()) == first
        world.installer._outage_s = 0.0
        with pytest.raises(UnavailableError):
            await world.files(loose, since=time.time())


@pytest.mark.parametrize("access_s", [3600.0, 0.0])
async def test_access_to_a_pinned_git_package_is_checked_from_time_to_time(
    world: World, monkeypatch: pytest.MonkeyPatch, access_s: float
) -> None:
    monkeypatch.setattr(installer, "ACCESS_S", access_s)
    sha = world.git.add("https://git.example/octo/kit", package("kit", one="1"))
    files = project(f"  - git: https://git.example/octo/kit\n    revision: {sha}\n")
    await world.files(files, since=time.time())
    del world.git.repositories["https://git.example/octo/kit"]
    with pytest.raises(PackagesError) if access_s == 0.0 else nullcontext():
        await world.files(files, since=time.time())


async def test_a_public_repository_gets_nothing_that_a_private_one_left_in_the_cache(world: World) -> None:
    sha = world.git.add("https://git.example/octo/kit", package("kit", one="1"))
    files = project(f"  - git: https://git.example/octo/kit\n    revision: {sha}\n")
    await world.files(files)
    opened = len(world.git.opened)
    await world.files(files, private=False)
    assert len(world.git.opened) == opened + 1, "git was asked, on behalf of the public one"


async def test_a_damaged_file_is_fetched_again(world: World, tmp_path: Path) -> None:
    world.hub.add("acme/tools", "1.0.0", package("tools", one="1"))
    files = project(hub("acme/tools", "1.0.0"))
    first = await world.files(files)
    for path in (tmp_path / "work" / "packages" / "1").iterdir():
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert await world.files(files) == first
    assert world.hub.requests.count("/tarballs/acme/tools/1.0.0.tar.gz") == 2


async def test_concurrent_requests_fetch_a_package_once(world: World) -> None:
    world.hub.add("acme/tools", "1.0.0", package("tools", one="1"))
    world.hub.delay_s = 0.05
    projects = [project(hub("acme/tools", "1.0.0"), **{"dependencies.yml": f"# {number}"}) for number in range(3)]
    await asyncio.gather(*(world.files(files) for files in [*projects, *projects]))
    assert sorted(world.hub.requests) == ["/api/v1/acme/tools.json", "/tarballs/acme/tools/1.0.0.tar.gz"]


async def test_tidy_removes_old_files_and_open_archives_stay_readable(world: World, tmp_path: Path) -> None:
    world.hub.add("acme/tools", "1.0.0", package("tools", one="1"))
    packages = await world.install(project(hub("acme/tools", "1.0.0")))
    cache = tmp_path / "work" / "packages" / "1"
    await world.installer.tidy()
    assert list(cache.iterdir())
    for path in cache.iterdir():
        os.utime(path, (1, 1))
    await world.installer.tidy()
    assert not list(cache.iterdir())
    assert len(b"".join([chunk async for chunk in packages.stream()])) == packages.size_bytes
    packages.close()


async def test_a_matching_lock_file_pins_versions(world: World) -> None:
    for version in ("1.0.0", "1.1.0"):
        world.hub.add("acme/tools", version, package("tools", number=version))
    lock = "packages:\n- package: acme/tools\n  name: tools\n  version: 1.0.0\nsha1_hash: {}\n"
    files = project(hub("acme/tools", "'>=1.0.0'"))
    matching = {**files, "package-lock.yml": lock.format("57b1567e48d2801b30d6db08bd52550f08664643")}
    other = {**files, "package-lock.yml": lock.format("0" * 40)}
    assert "1.1.0" in (await world.files(other))["src/dbt_packages/tools/macros/number.sql"]
    assert "1.0.0" in (await world.files(matching))["src/dbt_packages/tools/macros/number.sql"]


async def test_each_package_that_cannot_be_installed_has_an_annotation_at_its_line(world: World) -> None:
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
    error = await packages_error(world, project(asked))
    texts = {annotation.line: f"{annotation.title}\n{annotation.message}" for annotation in error.annotations}
    expected = {
        2: "Package `acme/missing` was not found on the package hub (requested in `packages.yml`, line 2). Check its name on",
        4: "`packages.yml` requires 2.0.0. Newest versions: 1.0.0.",
        6: "does not match the hub's checksum: the SHA-1 of",
        8: "cannot be unpacked",
        10: "has no `dbt_project.yml`",
        12: "Package `acme/missing2` was not found on the package hub (requested by the package acme/deep 1.0.0).",
        14: "could not be fetched (requested in `packages.yml`, line 14): "
        "https://git.example/octo/secret is not public and not part of this installation. Add it to the App.",
        15: "169.254.169.254",
        17: "Package `../../outside` is outside of the repository",
        18: "the repository has no `nothing/dbt_project.yml`",
    }
    assert texts.keys() == expected.keys()
    for line, words in expected.items():
        assert words in texts[line], texts[line]
    assert {annotation.path for annotation in error.annotations} == {"packages.yml"}
    assert {annotation.level for annotation in error.annotations} == {"failure"}
    assert error.reason.startswith("10 problems: Package acme/missing cannot be installed; ")


async def test_packages_with_the_same_name_are_reported(world: World) -> None:
    world.hub.add("acme/tools", "1.0.0", package("tools"))
    world.hub.add("other/tools", "1.0.0", package("tools"))
    world.hub.add("acme/shop", "1.0.0", package("shop"))
    asked = hub("acme/tools", "1.0.0") + hub("other/tools", "1.0.0") + hub("acme/shop", "1.0.0")
    error = await packages_error(world, project(asked))
    assert [(annotation.line, annotation.message.partition(" (")[0]) for annotation in error.annotations] == [
        (4, "Package `other/tools` has the same name as the package `acme/tools`, `tools`"),
        (6, "Package `acme/shop` has the same name as the project, `shop`"),
    ]


async def test_a_rule_replaces_or_skips_a_package(world: World) -> None:
    world.git.add(f"{SERVER}/octo/tools.git", package("tools", one="ours"))
    rules = (PackageRule("acme/tools", use="octo/tools"), PackageRule("https://git.example/octo/secret", skip=True))
    asked = hub("acme/tools", "1.0.0") + "  - git: https://git.example/octo/secret.git\n    revision: v1\n"
    found = await world.files(project(asked), rules=rules)
    assert "ours" in found["src/dbt_packages/tools/macros/one.sql"]
    # dbt expects as many packages as the project lists.
    assert "name: secret\n" in found["src/dbt_packages/secret/dbt_project.yml"]
    assert world.hub.requests == []


async def test_a_hub_outage_is_retried(world: World) -> None:
    world.hub.add("acme/tools", "1.0.0", package("tools"))
    files = project(hub("acme/tools", "1.0.0"))
    world.hub.failures = 2
    assert await world.files(files)
    world.hub.failures = 99
    with pytest.raises(UnavailableError) as caught:
        await world.install(files, installation_id=2)
    assert "503" in caught.value.reason
    world.hub.failures = 0
    assert await world.files(files, installation_id=2)


async def test_a_renamed_package_without_versions_is_found_under_its_new_name(world: World) -> None:
    world.hub.add("new/tools", "1.0.0", package("tools", one="1"))
    world.hub.moved["old/tools"] = "new/tools"
    assert "src/dbt_packages/tools/macros/one.sql" in await world.files(project(hub("old/tools", "1.0.0")))


async def test_packages_that_require_each_other_are_resolved(world: World) -> None:
    world.hub.add("acme/a", "1.0.0", package("a"), packages=[{"package": "acme/b", "version": ">=1.0.0"}])
    world.hub.add("acme/b", "1.0.0", package("b"), packages=[{"package": "acme/a", "version": ">=1.0.0"}])
    assert len(locked(await world.files(project(hub("acme/a", "1.0.0"))))) == 2


def hostile() -> bytes:
    """An archive with everything that must not be unpacked."""
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
            f"top/{'d/' * 1100}x.sql",
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


async def test_only_regular_files_with_clean_names_are_unpacked(world: World) -> None:
    world.hub.add_archive("acme/tools", "1.0.0", hostile())
    found = await world.files(project(hub("acme/tools", "1.0.0")))
    assert locked(found) == ["tools"]
    del found["src/package-lock.yml"]
    assert found == {
        "src/dbt_packages/tools/dbt_project.yml": "name: tools\n",
        f"src/dbt_packages/tools/macros/{'n' * 180}.sql": "x",
    }


def zeros(size: int) -> bytes:
    """A compression bomb: an archive with a file of zeros."""
    info = tarfile.TarInfo("top/big.bin")
    info.size = size
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as out:
        out.write(info.tobuf())
        for _ in range(size >> 20):
            out.write(bytes(1 << 20))
    return packed.getvalue()


def headers(size: int) -> bytes:
    """An archive that begins with a name of `size` bytes."""
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
        (tarball("top", {"a.sql": "x"})[:-20], "cannot be unpacked"),
        (tarball(".", {"a/dbt_project.yml": "x", "b/x.sql": "x"}), "more than one top directory"),
        (b"", "no `dbt_project.yml`"),
    ],
    ids=["bomb", "header", "files", "bytes", "cut", "two", "nothing"],
)
async def test_an_archive_that_is_too_big_or_damaged_is_rejected(tmp_path: Path, data: bytes, words: str) -> None:
    limits = PackageLimits(files=20, total_bytes=1 << 20, raw_bytes=16 << 20, entries=100)
    async with worlds(tmp_path, limits=limits) as world:
        world.hub.add_archive("acme/tools", "1.0.0", data)
        error = await packages_error(world, project(hub("acme/tools", "1.0.0")))
        assert words in error.annotations[0].message


async def test_installing_packages_times_out(tmp_path: Path) -> None:
    async with worlds(tmp_path, timeout_s=0.2) as world:
        world.hub.add("acme/tools", "1.0.0", package("tools"))
        world.hub.delay_s = 1.0
        error = await packages_error(world, project(hub("acme/tools", "1.0.0")))
        assert "longer than 0.2 s" in error.user_text


async def test_the_number_of_packages_is_limited(world: World) -> None:
    many = project("".join(hub(f"acme/p{number}", "1.0.0") for number in range(250)))
    (annotation,) = (await packages_error(world, many)).annotations
    assert "more than 200 packages" in annotation.message
    assert world.hub.requests == []
