"""Records every scenario, or those that are named: `TEST_CLUSTER=…/freshet.kubeconfig python -m tests.cluster [NAME]...`."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import yaml

from app.runner.docker.engine import connect
from tests.cluster.outcomes import outcome
from tests.cluster.recorder import recording
from tests.cluster.recording import save
from tests.cluster.runners import NAMESPACE, pod_runners
from tests.cluster.scenarios import PROGRAMS, SCENARIOS, Admin, Scenario, quota
from tests.integration.runner_images import RUNNER_IMAGE, build_image, build_in_place


async def build(engine: str) -> None:
    """Build the images of all scenarios."""
    async with connect(engine) as docker:
        for name, program in PROGRAMS.items():
            await build_in_place(docker, f"recorded-{name}", program)
        await build_image(
            docker, "recorded-empty", f"FROM {RUNNER_IMAGE}\nUSER 0\nRUN rm -rf /opt/dbt/lib/python3*/site-packages/dbt_core*\n"
        )


async def record(name: str, scenario: Scenario, directory: Path, kubeconfig: Path) -> None:
    found = yaml.safe_load(kubeconfig.with_name("admin.kubeconfig").read_text())
    server, token = found["clusters"][0]["cluster"]["server"], found["users"][0]["user"]["token"]
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}, connector=aiohttp.TCPConnector(ssl=False))
        )

        async def request(method: str, path: str, body: Any = None) -> Any:
            async with session.request(method, f"{server}/api/v1/namespaces/{NAMESPACE}/{path}", json=body) as answer:
                return await answer.json()

        admin = Admin(request)
        if scenario.limited:
            await stack.enter_async_context(quota(admin))
        recorder, leads_here = await stack.enter_async_context(recording(kubeconfig.with_name(f"{scenario.user}.kubeconfig"), directory))
        make, _, _ = await stack.enter_async_context(pod_runners(leads_here, directory, scenario.namespace))
        meddling = asyncio.create_task(scenario.meddle(admin)) if scenario.meddle else None
        print(f"{name}: {await outcome(make, scenario)!r}", flush=True)
        if meddling is not None:
            await meddling
    save(name, recorder.exchanges, recorder.names)


async def main() -> None:
    kubeconfig = Path(os.environ["TEST_CLUSTER"]).resolve()
    await build(f"unix://{kubeconfig.parent}/run/docker.sock")
    for name in sys.argv[1:] or SCENARIOS:
        with TemporaryDirectory() as directory:
            await record(name, SCENARIOS[name], Path(directory), kubeconfig)


asyncio.run(main())
