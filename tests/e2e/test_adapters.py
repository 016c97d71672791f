"""Each adapter of each runner image parses a project: in containers of its own a few, or all with `make adapters`; in forks always all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from app.project.adapters import IN_IMAGES
from app.project.runner_images import RunnerImage
from app.runner.docker.backend import DockerRunner
from app.service.commands import images as image_commands
from tests.integration.runner_fixtures import Make

OLDER = ("dbt-runner:1.10", "dbt-runner:1.7")
USUAL = ("duckdb", "postgres", "snowflake")
AT_ONCE = 2

Pair = tuple[RunnerImage, str]


async def reasons(runner: DockerRunner, pairs: Sequence[Pair]) -> dict[tuple[str, str], str]:
    """Return why those failed that did, by the names of image and adapter."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def reason(image: RunnerImage, adapter: str) -> str:
        async with gate:
            return (await image_commands.parse_small_project(runner, image, adapter))[0]

    found = await asyncio.gather(*(reason(*pair) for pair in pairs))
    return {(image.name, adapter): why for (image, adapter), why in zip(pairs, found, strict=True) if why}


def all_of(images: Sequence[RunnerImage]) -> list[Pair]:
    return [(image, adapter) for image in images for adapter in sorted(image.adapters)]


async def test_the_usual_adapters_and_each_older_image_parse_in_containers_of_their_own(make: Make) -> None:
    runner = make(more_images=OLDER)
    default, *older = images = await runner.images()
    pairs = [*((default, adapter) for adapter in USUAL), *((image, min(image.adapters)) for image in older)]
    assert len(pairs) == len(USUAL) + len(OLDER)
    assert await reasons(runner, all_of(images) if os.environ.get("ADAPTERS") == "all" else pairs) == {}


async def test_every_adapter_of_every_image_parses(make_forked: Make) -> None:
    runner = make_forked(more_images=OLDER)
    pairs = all_of(await runner.images())
    assert len(pairs) == len(IN_IMAGES) + 4
    assert await reasons(runner, pairs) == {}
