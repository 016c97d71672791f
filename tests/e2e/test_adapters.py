"""Each adapter of each runner image parses a project: the slowest test of all, hence here, beside the others."""

from __future__ import annotations

import asyncio

from app import image_commands
from app.images import ADAPTERS, RunnerImage
from tests.integration.runner_fixtures import Make

OLDER = ("dbt-runner:1.10", "dbt-runner:1.7")
AT_ONCE = 2


async def test_every_adapter_of_every_image_parses(make: Make) -> None:
    runner = make(more_images=OLDER)
    images = await runner.images()
    gate = asyncio.Semaphore(AT_ONCE)

    async def reason(image: RunnerImage, adapter: str) -> str:
        async with gate:
            return (await image_commands.parses(runner, image, adapter))[0]

    pairs = [(image, adapter) for image in images for adapter in sorted(image.adapters)]
    reasons = await asyncio.gather(*(reason(*pair) for pair in pairs))
    assert {(image.name, adapter): why for (image, adapter), why in zip(pairs, reasons, strict=True) if why} == {}
    assert len(pairs) == len(ADAPTERS) + 4
