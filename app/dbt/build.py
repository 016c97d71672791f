"""Builds runner images from a checkout through the engine's API: the engine may be on another machine."""

from __future__ import annotations

import asyncio
import io
import re
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiodocker

from app.dbt import engine
from app.dbt.images import REPOSITORY
from app.errors import ConfigurationError, FreshetError, RunnerImageError

ROOT = Path(__file__).parents[2]
DOCKERFILE = "Dockerfile.dbt"
CONTEXT = (DOCKERFILE, "deploy/dbt", "app/dbt/runner")
"""What `Dockerfile.dbt` copies, and itself."""
DEFAULT_BASE = "python:3.11-slim-bookworm"
OWN_BASE = "freshet-base:bookworm"
"""Made by `deploy/base-image.sh` where no registry can be reached."""
PULL_TIMEOUT_S = 120.0
_PIN = re.compile(r"^dbt-([a-z]+)(?:-community)?==(\S+)", re.MULTILINE)
_NO_ADAPTERS = frozenset({"core", "adapters", "common", "extractor", "protos"})

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an image is to hold."""

    dbt_version: str
    adapters: tuple[str, ...]
    tag: str


def recipe(root: Path, dbt: str | None, adapters: str | None, tag: str | None) -> Recipe:
    """Return what to build: by default the Dockerfile's own version, and every adapter that there is for it.

    `dbt` is a minor version or one patch release, `adapters` names apart by spaces or commas. Raises ConfigurationError.
    """
    doing = "reading what to build"
    dockerfile = root / DOCKERFILE
    if not dockerfile.is_file():
        reason = f"{dockerfile} is not there: images are built from a checkout of Freshet, and this is a copy without it"
        raise ConfigurationError(doing, reason, "Run this in a checkout: `git clone` Freshet, and `make setup` there.")
    asked = dbt or _default_version(dockerfile.read_text())
    minor = ".".join(asked.split(".")[:2])
    lock = root / "deploy" / "dbt" / f"{minor}.txt"
    there = sorted((path.stem for path in lock.parent.glob("*.*.txt")), key=lambda stem: [int(part) for part in stem.split(".")])
    if minor not in there or not re.fullmatch(r"\d+\.\d+(\.\d+\w*)?", asked):
        reason = f"there are no pinned versions for dbt {asked!r}, only for {', '.join(there)}"
        raise ConfigurationError(doing, reason, "Name one of these: `deploy/dbt` holds what images are built of.")
    pins = dict(_PIN.findall(lock.read_text()))
    known = sorted({*pins} - _NO_ADAPTERS)
    wanted = tuple(name.removeprefix("dbt-") for name in re.split(r"[\s,]+", adapters or "") if name)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ConfigurationError(doing, f"for dbt {minor} there is no adapter {', '.join(unknown)}, only {', '.join(known)}")
    version = pins["core"] if asked == minor else asked
    return Recipe(version, wanted or tuple(known), tag or f"{REPOSITORY}:{'-'.join((asked, *wanted))}")


async def build(docker: aiodocker.Docker, root: Path, wanted: Recipe, environment: Mapping[str, str], say: Say) -> None:
    """Build an image and tell its progress line by line. Raises RunnerImageError with the last lines of a build that failed.

    `BASE_IMAGE` and `PIP_INDEX_URL` of the environment are those of `deploy/setup.sh`.
    """
    doing = f"building the runner image {wanted.tag}"
    arguments = {
        "DBT_VERSION": wanted.dbt_version,
        "DBT_ADAPTERS": " ".join(wanted.adapters),
        "BASE_IMAGE": environment.get("BASE_IMAGE") or await _base(docker, say),
    }
    if index := environment.get("PIP_INDEX_URL"):
        arguments["PIP_INDEX_URL"] = index
    context = await asyncio.to_thread(_context, root)
    said: list[str] = []
    with engine.errors(doing):
        try:
            async for line in docker.images.build(
                fileobj=context,
                encoding="identity",
                path_dockerfile=DOCKERFILE,
                tag=wanted.tag,
                buildargs=arguments,
                forcerm=True,
                stream=True,
            ):
                if "error" in line:
                    raise _failed(doing, said, str(line["error"]))
                if text := str(line.get("stream", "")).rstrip():
                    said.append(text)
                    say(text)
        except aiodocker.DockerError as error:
            if error.status == 900:  # noqa: PLR2004 - aiodocker's own, for no connection
                raise
            raise _failed(doing, said, error.message) from error


def _failed(doing: str, said: list[str], error: str) -> FreshetError:
    last = "\n".join([*said[-10:], error])
    reason = f"the build stopped. Its last words:\n{last}\n"
    return RunnerImageError(
        doing, reason, "Are a package index and a base image reachable? `PIP_INDEX_URL` and `BASE_IMAGE` name other ones."
    )


def _default_version(dockerfile: str) -> str:
    found = re.search(r"^ARG DBT_VERSION=(\d+\.\d+)", dockerfile, re.MULTILINE)
    return found[1] if found else ""


async def _base(docker: aiodocker.Docker, say: Say) -> str:
    """Return a base that the engine has, or gets: the official Python image, or our own where no registry answers."""
    doing = "looking for a base for the runner image"
    with engine.errors(doing):
        if await _has(docker, DEFAULT_BASE):
            return DEFAULT_BASE
        say(f"Asking the registry for {DEFAULT_BASE}.")
        try:
            await docker.images.pull(DEFAULT_BASE, timeout=PULL_TIMEOUT_S)
        except (aiodocker.DockerError, TimeoutError):
            if await _has(docker, OWN_BASE):
                say(f"No registry answered: building on {OWN_BASE}, which is here.")
                return OWN_BASE
            next_step = f"`deploy/base-image.sh` makes {OWN_BASE} from Debian's packages, or `--base` names an image with Python 3.11."
            raise RunnerImageError(doing, f"no registry gives {DEFAULT_BASE}, and the engine has no {OWN_BASE}", next_step) from None
        return DEFAULT_BASE


async def _has(docker: aiodocker.Docker, name: str) -> bool:
    try:
        await docker.images.inspect(name)
    except aiodocker.DockerError as error:
        if error.status == 404:  # noqa: PLR2004 - HTTP's
            return False
        raise
    return True


def _context(root: Path) -> io.BytesIO:
    def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        # The same bytes give the same layers, whoever sends them and when.
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return None if "__pycache__" in member.name else member

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in CONTEXT:
            tar.add(root / name, arcname=name, filter=kept)
    archive.seek(0)
    return archive
