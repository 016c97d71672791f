"""The wheel has everything but the engine: installed beside the locked libraries, away from any checkout, it runs."""

from __future__ import annotations

import re
import subprocess
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tests.deploy.images import command
from tests.service import ROOT, clean_environment

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
NO_ENGINE = "unix:///nowhere/docker.sock"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the build backend of the tests' own environment."""
    directory = tmp_path_factory.mktemp("wheel")
    python = Path(sysconfig.get_path("scripts")) / "python"
    words = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(directory), ".")
    subprocess.run([python, *words], cwd=ROOT, check=True, capture_output=True)
    [built] = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the programs of a virtual environment with the wheel and, from the tests' own one, the libraries of the lock."""
    directory = tmp_path_factory.mktemp("installed")
    venv.create(directory, with_pip=False)
    python = Path(sysconfig.get_path("scripts")) / "python"
    [packages] = directory.glob("lib/python3*/site-packages")
    words = ("-m", "pip", "--python", str(directory / "bin" / "python"), "install", "--no-deps", "--no-index", "--quiet", str(wheel))
    subprocess.run([python, *words], check=True, capture_output=True)
    # A line of a .pth file is a path whose own .pth files do not count, so this finds the libraries and not the checkout.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return directory / "bin"


async def freshet(installed: Path, directory: Path, *words: str, status: int = 0) -> str:
    variables = {**clean_environment(), "FRESHET_DATA_DIR": str(directory / "data"), "DOCKER_HOST": NO_ENGINE}
    return await command(str(installed / "freshet"), *words, cwd=directory, status=status, variables=variables)


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.startswith("freshet-")}
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "app").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    images = {f"app/runner/image/{path.relative_to(ROOT)}" for path in (ROOT / "Dockerfile.dbt", *(ROOT / "deploy" / "dbt").iterdir())}
    assert names == package | images | {"app/app.yml"}


async def test_it_says_its_version(installed: Path, tmp_path: Path) -> None:
    assert await freshet(installed, tmp_path, "--version") == f"freshet {VERSION}\n"
    where = await command(str(installed / "python"), "-c", "import app; print(app.__file__)", cwd=tmp_path)
    assert where.startswith(str(installed.parent)), "not the checkout"


async def test_it_migrates_a_database_and_says_what_is_missing(installed: Path, tmp_path: Path) -> None:
    migrated = await freshet(installed, tmp_path, "migrate")
    applied = re.findall(r"^applied (\S+)$", migrated, re.MULTILINE)
    assert applied == sorted(path.stem for path in (ROOT / "app" / "store" / "migrations").glob("*.sql"))
    told = await freshet(installed, tmp_path, "doctor", status=1)
    assert "ok: database: " in told
    assert "not ok: Docker: " in told
    assert "Traceback" not in told


async def test_it_sends_what_runner_images_are_built_from(installed: Path, tmp_path: Path) -> None:
    program = """
import sys
from app.runner.docker import build
recipe = build.recipe(build.ROOT, "1.11", None, None)
sys.stdout.write(recipe.dbt_version + "\\n")
open("context.tar", "wb").write(build._context(build.ROOT).read())
"""
    told = await command(str(installed / "python"), "-c", program, cwd=tmp_path)
    assert told.startswith("1.11.")
    with tarfile.open(tmp_path / "context.tar") as archive:
        sent = {name for name in archive.getnames() if archive.getmember(name).isfile()}
    sources = [ROOT / "Dockerfile.dbt", *(ROOT / "deploy" / "dbt").iterdir(), *(ROOT / "app" / "runner" / "program").rglob("*")]
    assert sent == {str(path.relative_to(ROOT)) for path in sources if path.is_file() and "__pycache__" not in path.parts}
