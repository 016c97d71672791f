"""Each adapter of each runner image parses a project: in full where something changed that it depends on, always for a few."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from hashlib import sha256

import aiodocker
import pytest

from app.project.adapters import IN_IMAGES
from app.project.runner_images import RunnerImage
from app.runner.docker.backend import DockerRunner
from app.service.commands import images as image_commands
from tests.integration.runner_fixtures import Make
from tests.service import ROOT

OLDER = ("dbt-runner:1.10", "dbt-runner:1.7")
USUAL = ("duckdb", "postgres", "snowflake")
AT_ONCE = 2
DEPENDS_ON = ("app/project", "app/runner", "app/service/commands", "tests/e2e/test_adapters.py")
"""Besides the images."""
LAST_PASSED = ROOT / ".cache" / "adapters-passed"
LEFT_OUT = "every adapter of every image: neither they nor the code changed since all passed here; `make adapters` runs them"

Pair = tuple[RunnerImage, str]


async def reasons(runner: DockerRunner, pairs: Sequence[Pair]) -> dict[tuple[str, str], str]:
    """Return why those failed that did, by the names of image and adapter."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def reason(image: RunnerImage, adapter: str) -> str:
        async with gate:
            return (await image_commands.parse_small_project(runner, image, adapter))[0]

    found = await asyncio.gather(*(reason(*pair) for pair in pairs))
    return {(image.name, adapter): why for (image, adapter), why in zip(pairs, found, strict=True) if why}


async def state(docker: aiodocker.Docker, images: Sequence[RunnerImage]) -> str:
    """Return a hash of all that decides whether adapters parse: what the images are made of (their label, else their id), and the code."""
    labels = [(await docker.images.inspect(image.name))["Config"]["Labels"].get("io.freshet.context", image.id) for image in images]
    sources = [ROOT / name for name in DEPENDS_ON]
    files = [path for source in sources for path in ([source] if source.is_file() else sorted(source.rglob("*.py")))]
    whole = sha256("\n".join(labels).encode())
    for path in files:
        whole.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return whole.hexdigest()


async def test_the_usual_adapters_and_each_older_image_parse(make: Make) -> None:
    runner = make(more_images=OLDER)
    default, *older = await runner.images()
    pairs = [*((default, adapter) for adapter in USUAL), *((image, min(image.adapters)) for image in older)]
    assert await reasons(runner, pairs) == {}
    assert len(pairs) == len(USUAL) + len(OLDER)


async def test_every_adapter_of_every_image_parses(make: Make, docker: aiodocker.Docker) -> None:
    runner = make(more_images=OLDER)
    images = await runner.images()
    now = await state(docker, images)
    if os.environ.get("ADAPTERS") != "all" and LAST_PASSED.exists() and LAST_PASSED.read_text() == now:
        pytest.skip(LEFT_OUT)
    pairs = [(image, adapter) for image in images for adapter in sorted(image.adapters)]
    assert await reasons(runner, pairs) == {}
    assert len(pairs) == len(IN_IMAGES) + 4
    LAST_PASSED.parent.mkdir(exist_ok=True)
    LAST_PASSED.write_text(now)
