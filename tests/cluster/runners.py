"""Runners on a cluster, for tests."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app.runner.kubernetes.backend import KubernetesRunner
from app.runner.kubernetes.cluster import Cluster, connect
from app.runner.kubernetes.manifests import HOST_LABEL, MANAGED_BY, MANAGER
from app.runner.parse_state import ParseStates
from tests.integration.runner_images import RUNNER_IMAGE
from tests.patience import HANGS_S

NAMESPACE = "freshet-runner"
MakePods = Callable[..., KubernetesRunner]


@asynccontextmanager
async def pod_runners(kubeconfig: str, directory: Path, namespace: str = NAMESPACE) -> AsyncIterator[tuple[MakePods, Cluster, str]]:
    """Yield a factory of runners with one instance name, their cluster, and that name."""
    instance = f"test-{secrets.token_hex(4)}"
    made: list[KubernetesRunner] = []
    async with connect(namespace, kubeconfig) as cluster:

        def make(**changed: Any) -> KubernetesRunner:
            settings: dict[str, Any] = {
                "image_names": [RUNNER_IMAGE],
                "cpus": 2.0,
                "memory_bytes": 1 << 30,
                "timeout_s": HANGS_S,
                "deps_network": "none",
                "package_hub_url": None,
                "instance": instance,
                "work_dir": directory / "work",
            }
            settings |= changed
            settings.setdefault("states", ParseStates(settings["work_dir"]))
            made.append(KubernetesRunner(cluster, **settings))
            return made[-1]

        try:
            yield make, cluster, instance
        finally:
            for runner in made:
                await runner.close()


async def pods(cluster: Cluster, instance: str, **labels: str) -> list[dict[str, Any]]:
    return await cluster.pods({MANAGED_BY: MANAGER, HOST_LABEL: instance, **labels})
