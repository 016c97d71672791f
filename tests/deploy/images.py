"""The service's image, and one with what deploy/compose takes from a registry; built once for each state of their sources."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from tests.service import ROOT

REPOSITORY = "freshet-deploy-test"
BASES = ("python:3.11-slim-bookworm", "freshet-base:bookworm")
"""The default of the Dockerfiles, and what `deploy/base-image.sh` builds where no registry answers."""
SERVICE = ("app", "app.yml", "deploy/Dockerfile", "deploy/build.lock", "deploy/service.lock", "deploy/dbt", "Dockerfile.dbt")
STAND_IN = ("tests/deploy/stand_in",)


async def command(
    *words: str, cwd: Path = ROOT, status: int | None = 0, stdin: bytes = b"", variables: Mapping[str, str] | None = None
) -> str:
    """Run a program, and return what it printed. The exit status is asserted, unless it is None."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *words, cwd=cwd, env=variables or dict(os.environ), stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate(stdin)
    text = output.decode(errors="replace")
    assert status is None or process.returncode == status, f"{' '.join(words)}: {process.returncode}\n{text[-4000:]}"
    return text


async def service_image() -> str:
    """Build the service's image with deploy/Dockerfile, unless it is there; return its name."""
    return await _image("service", SERVICE, "-f", "deploy/Dockerfile", ".")


async def stand_in_image() -> str:
    """Build the image of tests/deploy/stand_in, unless it is there; return its name."""
    return await _image("stand-in", STAND_IN, "tests/deploy/stand_in")


async def _image(tag: str, sources: tuple[str, ...], *arguments: str) -> str:
    name = f"{REPOSITORY}:{tag}"
    digest = _digest(sources)
    if (await command("docker", "image", "inspect", "-f", '{{index .Config.Labels "digest"}}', name, status=None)).strip() == digest:
        return name
    existing = (await command("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")).split()
    base = next(one for one in BASES if one in existing)
    index = ("--build-arg", "PIP_INDEX_URL") if os.environ.get("PIP_INDEX_URL") else ()
    options = ("--build-arg", f"BASE_IMAGE={base}", *index, "--label", f"digest={digest}", "-t", name)
    await command("docker", "build", *options, *arguments)
    return name


def _digest(sources: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        path = ROOT / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return digest.hexdigest()
