"""Several processes on one database: directories of their own, and caches that all of them must drop."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.core.errors import ConfigurationError
from app.core.models.github import Repository
from app.github.git.packages import GitPackages
from app.github.git.source import GitSources
from app.packages.fetch.http import EgressClient
from app.packages.fetch.installer import Installer
from app.runner.parse_state import ParseStates
from app.service.caches import STRANGERS, Caches, PackageSupply
from app.service.components import instance, lock_data_dir
from app.service.config import Settings
from app.store import Store

URL = "https://github.example"


async def nobody(*_: object) -> None:
    return None


async def test_two_services_with_different_databases_cannot_share_a_directory(tmp_path: Path) -> None:
    settings = Settings(freshet_data_dir=tmp_path, database_url=SecretStr("postgresql://db.example/freshet"))
    async with lock_data_dir(settings):
        with pytest.raises(ConfigurationError, match=f"FRESHET_DATA_DIR: another Freshet uses {tmp_path}"):
            async with lock_data_dir(settings):
                pass
    async with lock_data_dir(settings):
        pass


def test_services_are_told_apart_even_with_the_same_host_name_and_directory(tmp_path: Path) -> None:
    settings = Settings(freshet_data_dir=tmp_path)
    first = instance(settings, "service")
    assert instance(settings, "service") == first, "after a restart it finds its containers again"
    assert instance(settings, "cli") != first
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    assert instance(settings, "service") != first


async def test_deletions_of_another_host_clear_the_caches_here(store: Store, tmp_path: Path) -> None:
    await store.installations.update_from_push(Repository(7, "octo/kept", 70, "main"))
    names = ["git/7.git", "git/8.git", "packages/70", "packages/80", "git-packages/80/x.git", "states/70/7", "states/70/8", "packages/0"]
    names += ["strangers/packages/70", "strangers/packages/80", "strangers/git-packages/80/x.git"]
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "HEAD").write_text("x")
    with contextlib.closing(GitSources(URL, tmp_path, nobody)) as sources, contextlib.ExitStack() as stack:
        async with EgressClient() as guard:
            supplies = []
            for work_dir in (tmp_path, tmp_path / STRANGERS):
                packages = stack.enter_context(contextlib.closing(GitPackages(URL, work_dir, nobody)))
                supplies.append(PackageSupply(packages, Installer(packages, guard, work_dir=work_dir)))
            await Caches(tmp_path, sources, supplies[0], ParseStates(tmp_path), supplies[1]).tidy(store)
    left = {name for name in names if (tmp_path / name).exists()}
    assert left == {"git/7.git", "packages/70", "states/70/7", "packages/0", "strangers/packages/70"}


async def test_nothing_of_removed_repositories_stays_in_memory(tmp_path: Path) -> None:
    with contextlib.closing(GitSources(URL, tmp_path, nobody)) as sources:
        for number in range(100):
            await sources.remove(number)
        await sources.tidy()
        assert not sources._mirrors
