"""Several services on one database: what each has of its own, and what all of them have to forget."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.config import Settings
from app.dbt.states import States
from app.errors import ConfigurationError
from app.github.packages import GitPackages
from app.github.source import GitSources
from app.hub.guard import Guard
from app.hub.installer import Installer
from app.jobs import Repository
from app.parts import Caches, alone
from app.store import Store

URL = "https://github.example"


async def nobody(*_: object) -> None:
    return None


async def test_two_services_cannot_have_one_directory_with_a_database_elsewhere(tmp_path: Path) -> None:
    settings = Settings(freshet_data_dir=tmp_path, database_url=SecretStr("postgresql://db.example/freshet"))
    async with alone(settings):
        with pytest.raises(ConfigurationError, match=f"FRESHET_DATA_DIR: another Freshet uses {tmp_path}"):
            async with alone(settings):
                pass
    async with alone(settings):
        pass


async def test_what_another_host_deleted_for_good_is_forgotten_here_too(store: Store, tmp_path: Path) -> None:
    await store.installations.see(Repository(7, "octo/kept", 70, "main"))
    names = ("git/7.git", "git/8.git", "packages/70", "packages/80", "git-packages/80/x.git", "states/70/7", "states/70/8", "packages/0")
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "HEAD").write_text("x")
    sources, packages = GitSources(URL, tmp_path, nobody), GitPackages(URL, tmp_path, nobody)
    with contextlib.closing(sources), contextlib.closing(packages):
        async with Guard() as guard:
            installer = Installer(packages, guard, work_dir=tmp_path)
            await Caches(tmp_path, sources, packages, installer, States(tmp_path)).tidy(store)
    left = {name for name in names if (tmp_path / name).exists()}
    assert left == {"git/7.git", "packages/70", "states/70/7", "packages/0"}
