"""Valid and invalid requests generated from `/openapi.json`, sent to a running service: https://schemathesis.readthedocs.io."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.e2e.api_world import World, world
from tests.engine import EngineDouble
from tests.service import TOKEN

CONFIG = Path(__file__).parent / "schemathesis.toml"
RUN_S = 240.0 if "FUZZ" not in os.environ else 3600.0


async def schemathesis(asked: World, token: str, *more: str) -> tuple[int, str]:
    """Run schemathesis; returns its exit status and output."""
    ids = {"CONNECTION_ID": asked.connection_id, "EXTRACTION_ID": asked.extraction_id, "SHA": asked.sha}
    options = ["--header", f"Authorization: Bearer {token}", "--no-color", "--generation-deterministic", *more]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", f"{asked.service.url}/openapi.json", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=asked.service.log_file.parent,
        env={**os.environ, **ids},
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), RUN_S)
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, output.decode()


def amount(who: str) -> list[str]:
    """The operator gets to everything; others are asked for a share, in which each operation answers them a few times."""
    if "FUZZ" in os.environ:
        return ["--max-examples", os.environ["FUZZ"]] if who == "operator" else ["--phases", "coverage"]
    return ["--max-examples", "4"] if who == "operator" else ["--phases", "fuzzing", "--max-examples", "3"]


async def test_the_service_does_what_its_description_says(tmp_path: Path, dsn: str, engine: EngineDouble) -> None:
    async with world(tmp_path / "data", dsn, engine, EXTRACTION_CONCURRENCY="1", FRESHET_API_RATE_LIMIT="0") as asked:
        tokens = {
            "operator": TOKEN,
            "who may push": asked.github.classic_token("mona", {asked.repository: "push"}),
            "who may read": asked.github.user_token("hubot", {asked.repository: "pull"}),
            "a stranger": asked.github.classic_token("eve", {}),
        }
        for who, token in tokens.items():
            status, output = await schemathesis(asked, token, *amount(who))
            assert status == 0, f"{who}: {output[-20_000:]}"
        assert "request crashed" not in asked.service.log
