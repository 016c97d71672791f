"""Builds runner images from a checkout or an installed package, through the engine's API: the engine may be on another machine."""

from __future__ import annotations

import asyncio
import io
import re
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiodocker

from app.core.errors import ConfigurationError, FreshetError, RunnerImageError
from app.project.adapters import BY_TYPE, IN_IMAGES
from app.runner.docker import engine
from app.runner.docker.images import REPOSITORY

DOCKERFILE = "Dockerfile.dbt"
LOCKS = "deploy/dbt"
PROGRAM = "app/runner/program"
CHECKOUT = Path(__file__).parents[3]
PACKAGED = Path(__file__).parents[1] / "image"
"""Where the wheel has `Dockerfile.dbt` and the lock files; see `force-include` in pyproject.toml."""
ROOT = CHECKOUT if (CHECKOUT / DOCKERFILE).is_file() else PACKAGED
DEFAULT_BASE = "python:3.11-slim-bookworm"
OWN_BASE = "freshet-base:bookworm"
"""Built by `deploy/base-image.sh` where no registry can be reached."""
PULL_TIMEOUT_S = 120.0
_PIN = re.compile(r"^([\w-]+)==(\S+)", re.MULTILINE)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The contents of an image to build."""

    dbt_version: str
    adapters: tuple[str, ...]
    tag: str


def recipe(root: Path, dbt: str | None, adapters: str | None, tag: str | None) -> Recipe:
    """Return what to build: by default the Dockerfile's dbt version, and every adapter for it.

    `dbt`: a minor version or a patch release. `adapters`: names, separated by spaces or commas. Raises ConfigurationError.
    """
    doing = "preparing the build of a runner image"
    dockerfile = root / DOCKERFILE
    if not dockerfile.is_file():
        reason = f"{dockerfile} does not exist: this installation of Freshet is incomplete"
        raise ConfigurationError(doing, reason, "Install Freshet again, from its wheel or from a checkout.")
    requested = dbt or _default_version(dockerfile.read_text())
    minor = ".".join(requested.split(".")[:2])
    lock = root / LOCKS / f"{minor}.txt"
    minors = sorted((path.stem for path in lock.parent.glob("*.*.txt")), key=lambda stem: [int(part) for part in stem.split(".")])
    if minor not in minors or not re.fullmatch(r"\d++\.\d++(\.\d\w*+)?", requested):
        reason = f"there is no lock file for dbt {requested!r}, only for {', '.join(minors)}"
        raise ConfigurationError(doing, reason, "Choose one of these versions. The lock files are in `deploy/dbt`.")
    pins = dict(_PIN.findall(lock.read_text()))
    known = sorted(name for name in IN_IMAGES if {*BY_TYPE[name].packages} & {*pins})
    names = tuple(name.removeprefix("dbt-") for name in re.split(r"[\s,]+", adapters or "") if name)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigurationError(doing, f"for dbt {minor} there is no adapter {', '.join(unknown)}, only {', '.join(known)}")
    version = pins["dbt-core"] if requested == minor else requested
    return Recipe(version, names or tuple(known), tag or f"{REPOSITORY}:{'-'.join((requested, *names))}")


async def build(docker: aiodocker.Docker, root: Path, made_of: Recipe, environment: Mapping[str, str], say: Say) -> None:
    """Build an image, passing each line of the output to `say`. Raises RunnerImageError with the last lines if the build fails.

    `BASE_IMAGE` and `PIP_INDEX_URL` in the environment work as in `deploy/setup.sh`.
    """
    doing = f"building the runner image {made_of.tag}"
    arguments = {
        "DBT_VERSION": made_of.dbt_version,
        "DBT_ADAPTERS": " ".join(made_of.adapters),
        "BASE_IMAGE": environment.get("BASE_IMAGE") or await _base(docker, say),
    }
    if index := environment.get("PIP_INDEX_URL"):
        arguments["PIP_INDEX_URL"] = index
    context = await asyncio.to_thread(_context, root)
    output: list[str] = []
    with engine.errors(doing):
        try:
            async for line in docker.images.build(
                fileobj=context,
                encoding="identity",
                path_dockerfile=DOCKERFILE,
                tag=made_of.tag,
                buildargs=arguments,
                forcerm=True,
                stream=True,
            ):
                if "error" in line:
                    raise _failed(doing, output, str(line["error"]))
                if text := str(line.get("stream", "")).rstrip():
                    output.append(text)
                    say(text)
        except aiodocker.DockerError as error:
            if error.status == 900:  # noqa: PLR2004 - aiodocker's own, for no connection
                raise
            raise _failed(doing, output, error.message) from error


def _failed(doing: str, output: list[str], error: str) -> FreshetError:
    last = "\n".join([*output[-10:], error])
    reason = f"the build failed. The end of its output:\n{last}\n"
    step = "Check that a package index and a base image are reachable; `PIP_INDEX_URL` and `BASE_IMAGE` set other ones."
    return RunnerImageError(doing, reason, step)


def _default_version(dockerfile: str) -> str:
    found = re.search(r"^ARG DBT_VERSION=(\d+\.\d+)", dockerfile, re.MULTILINE)
    return found[1] if found else ""


async def _base(docker: aiodocker.Docker, say: Say) -> str:
    """The official Python image, or our own base where no registry answers."""
    doing = "looking for a base for the runner image"
    with engine.errors(doing):
        if await _has(docker, DEFAULT_BASE):
            return DEFAULT_BASE
        say(f"Pulling {DEFAULT_BASE} from the registry.")
        try:
            await docker.images.pull(DEFAULT_BASE, timeout=PULL_TIMEOUT_S)
        except (aiodocker.DockerError, TimeoutError):
            if await _has(docker, OWN_BASE):
                say(f"No registry answered: building on {OWN_BASE} instead.")
                return OWN_BASE
            next_step = (
                f"Build {OWN_BASE} from Debian's packages with `deploy/base-image.sh`, or choose an image with Python 3.11 by `--base`."
            )
            reason = f"{DEFAULT_BASE} could not be pulled, and the engine has no {OWN_BASE}"
            raise RunnerImageError(doing, reason, next_step) from None
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
    def normalized(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        # Identical bytes, and so cached layers, whatever the user and the time.
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return None if "__pycache__" in member.name else member

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in (DOCKERFILE, LOCKS):
            tar.add(root / name, arcname=name, filter=normalized)
        tar.add(Path(__file__).parents[1] / "program", arcname=PROGRAM, filter=normalized)
    archive.seek(0)
    return archive
