"""Partial parses of the real dbt, checked by the service."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from tests.e2e.api_world import PROJECT, world
from tests.engine import EngineDouble
from tests.patience import HANGS_S


async def test_a_partial_parse_of_the_real_dbt_proves_right(tmp_path: Path, dsn: str, engine: EngineDouble) -> None:
    model = next((PROJECT / "models").rglob("*.sql"))
    path = f"transform/{model.relative_to(PROJECT)}"
    async with world(tmp_path, dsn, engine, FRESHET_VERIFY_SHARE="1") as here, asyncio.timeout(HANGS_S):

        async def counted(name: str, label: str) -> dict[str, float]:
            async with here.service.session.get(f"{here.service.url}/metrics") as response:
                found = re.findall(rf'^freshet_{name}_total\{{{label}="(\w+)"\}} (\S+)', await response.text(), re.MULTILINE)
            return {value: float(count) for value, count in found}

        number = 0
        while not (await counted("parses", "kind")).get("partial"):
            # What the previous extraction leaves may be written only after this push: then it is parsed in full.
            sha = await here.github.push(here.repository, {path: f"{model.read_text()}\n-- {number}\n"})
            run = await here.github.wait_for_check_run(here.repository, sha)
            assert run.conclusion == "success", run.summary
            number += 1
        while not any((checked := await counted("verifications", "outcome")).values()):
            await asyncio.sleep(0.1)
        assert checked == {"same": 1, "different": 0, "failed": 0}
