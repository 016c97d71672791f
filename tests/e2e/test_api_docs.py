"""`docs/api.md` has an example of each operation, and each runs as written."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

from aiohttp import web

from app.web.api.operations import operations
from tests.e2e.api_world import world
from tests.engine import EngineDouble
from tests.service import ROOT, TOKEN

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN_S = 120.0


def examples() -> list[str]:
    return BLOCK.findall((ROOT / "docs" / "api.md").read_text())


async def test_every_example_runs_and_every_operation_has_one(tmp_path: Path, dsn: str, engine: EngineDouble) -> None:
    async with world(tmp_path / "data", dsn, engine) as asked:
        script = "\n".join(f"echo; echo '### example {number}'\n{example}" for number, example in enumerate(examples()))
        installation = next(iter(asked.github.state.installations))
        given = {"FRESHET": asked.service.url, "TOKEN": TOKEN, "SECRET": asked.github.app.webhook_secret, "INSTALLATION": str(installation)}
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euxo", "pipefail", "-c", script),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
            env={**os.environ, **given},
        )
        output, _ = await asyncio.wait_for(process.communicate(), RUN_S)
        assert process.returncode == 0, output.decode(errors="replace")[-5000:]
        seen = set(re.findall(r'"method": "(\w+)", "path": "([^"]+)"', asked.service.log))
    text = (ROOT / "docs" / "api.md").read_text()
    unseen = [
        f"{one.method} {one.path}"
        for one in operations(_nowhere)
        # What is asked for every few seconds by machines is not in the log.
        if not any(method == one.method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one.path), path) for method, path in seen)
        and f'"$FRESHET{one.path}"' not in text
    ]
    assert not unseen, "each address has an example"


async def _nowhere(_: web.Request) -> web.Response:
    return web.Response()
