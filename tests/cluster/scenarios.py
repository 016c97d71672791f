"""What was done with the cluster, and how the runner has to tell it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from app.core.errors import (
    ClusterFullError,
    ClusterUnavailableError,
    ConfigurationError,
    ContainerOutOfMemoryError,
    ContainerTimedOutError,
    DbtError,
    FreshetError,
    RunnerImageError,
)
from app.runner.kubernetes.manifests import EXTRACTION_LABEL, MANAGED_BY, MANAGER
from tests.integration.runner_images import RUNNER_IMAGE, SPEAKS

Meddle = Callable[["Admin"], Coroutine[Any, Any, None]]
GIB = 1 << 30
PROGRAMS = {
    "result": SPEAKS + 'sys.stderr.write("Running with dbt\\n")\nsay(b"{}")\n',
    "error": SPEAKS + 'say(b"", ok=False, bytes=0, error="Compilation Error")\n',
    "dies": "import sys\nsys.stdin.readline()\nsys.exit('no module named dbt')\n",
    "greedy": SPEAKS + "kept = []\nwhile True: kept.append(bytearray(b'x' * (16 << 20)))\n",
    "waits": SPEAKS + "import time\ntime.sleep(1000)\n",
}


class Admin:
    """Somebody else who uses the cluster, while it is recorded."""

    def __init__(self, request: Callable[..., Awaitable[Any]]) -> None:
        self.request = request

    async def job_pod(self) -> str:
        """Wait for the pod of the job to run, and return its name."""
        while True:
            found = await self.request("GET", f"pods?labelSelector={MANAGED_BY}={MANAGER},{EXTRACTION_LABEL}")
            for pod in found["items"]:
                if pod["status"].get("phase") == "Running":
                    await asyncio.sleep(2)
                    return str(pod["metadata"]["name"])
            await asyncio.sleep(0.2)


async def _delete(admin: Admin) -> None:
    name = await admin.job_pod()
    await admin.request("DELETE", f"pods/{name}", {"gracePeriodSeconds": 0})


@asynccontextmanager
async def quota(admin: Admin) -> AsyncIterator[None]:
    """Allow less memory than one pod needs."""
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": {"requests.memory": "100Mi"}}}
    await admin.request("POST", "resourcequotas", body)
    while "used" not in (await admin.request("GET", "resourcequotas/small")).get("status", {}):
        await asyncio.sleep(0.2)
    yield
    await admin.request("DELETE", "resourcequotas/small")


@dataclass(frozen=True)
class Scenario:
    """Settings of the runner, and its outcome: an error with its words, or a manifest."""

    program: str | None = "result"
    image: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    error: type[FreshetError] | None = None
    words: tuple[str, ...] = ()
    start_timeout_s: float = 180.0
    deadline_s: int | None = None
    namespace: str = "freshet-runner"
    user: str = "freshet"
    meddle: Meddle | None = None
    limited: bool = False
    """The namespace has a small quota."""

    @property
    def image_name(self) -> str:
        return self.image or f"freshet-test:recorded-{self.program}"


SCENARIOS: Mapping[str, Scenario] = {
    "result": Scenario(),
    "dbt-error": Scenario("error", error=DbtError, words=("Compilation Error",)),
    "program-dies": Scenario("dies", error=DbtError, words=("exit status 1", "no module named dbt")),
    "out-of-memory": Scenario(
        "greedy", settings={"memory_bytes": GIB // 4}, error=ContainerOutOfMemoryError, words=("256 MiB", "`DBT_MEMORY`")
    ),
    "deadline": Scenario("waits", deadline_s=8, error=ContainerTimedOutError, words=("`DBT_TIMEOUT`",)),
    "deleted": Scenario("waits", meddle=_delete, error=ClusterUnavailableError, words=("its pod was deleted", "kubectl get events")),
    "image-missing": Scenario(
        image="freshet-test:nobody-built-this", error=RunnerImageError, words=("freshet-test:nobody-built-this", "FRESHET_KUBERNETES_IMAGE")
    ),
    "image-name-invalid": Scenario(image="UPPER/case", error=RunnerImageError, words=("UPPER/case",)),
    "image-of-something-else": Scenario(image="freshet-test:recorded-empty", error=RunnerImageError, words=("is not a runner image",)),
    "unschedulable": Scenario(
        image=RUNNER_IMAGE,
        settings={"memory_bytes": 900 * GIB},
        start_timeout_s=5.0,
        error=ClusterFullError,
        words=("Insufficient memory", "`DBT_MEMORY`"),
    ),
    "quota": Scenario(image=RUNNER_IMAGE, limited=True, error=ClusterFullError, words=("quota", "requests.memory", "Raise the quota")),
    "runtime-class-missing": Scenario(
        image=RUNNER_IMAGE,
        settings={"runtime_class": "gvisor"},
        error=ConfigurationError,
        words=("gvisor", "`FRESHET_CONTAINER_RUNTIME`"),
    ),
    "namespace-missing": Scenario(image=RUNNER_IMAGE, namespace="nowhere", user="admin", error=ConfigurationError, words=("nowhere",)),
    "no-rights": Scenario(image=RUNNER_IMAGE, namespace="default", error=ConfigurationError, words=("cannot get", "docs/kubernetes.md")),
}
