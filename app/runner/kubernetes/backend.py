"""The runner with a namespace of a Kubernetes cluster."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core import log
from app.core.errors import ClusterUnavailableError, ConfigurationError
from app.pipeline.ports import DbtJob
from app.project.runner_images import RunnerImage
from app.runner.acceptance import DEADLINE_S
from app.runner.backend import MAX_MANIFEST, ContainerRunner, described
from app.runner.cleanup import Leftovers
from app.runner.container import Container, ContainerSpec
from app.runner.job_protocol import Command
from app.runner.kubernetes import manifests, probe, verdicts
from app.runner.kubernetes.cluster import DOING, Cluster, errors
from app.runner.kubernetes.manifests import (
    BOOT_LABEL,
    EXTRACTION_LABEL,
    HOST_LABEL,
    MANAGED_BY,
    MANAGER,
    NO_NETWORK,
    POLICY_NAME,
    ROLE_LABEL,
    PodSpec,
)
from app.runner.kubernetes.pod import PodContainer
from app.runner.outcome import ContainerLimits
from app.runner.parse_state import ParseStates
from app.runner.warm_pool import OLD_S, PATIENCE_S

FRESH_S: Final = 3600.0
"""For how long the contents of images are remembered."""
WARM: Final = 2
"""The limit of warm pods unless the operator sets another one: each reserves the memory of a job."""

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class ClusterHost:
    """What the warm pool has to know. A namespace does not show its nodes: processors are those that one place has at a time."""

    cpus: float
    memory_bytes: int = 0


class KubernetesRunner(ContainerRunner):
    """Runs dbt in pods of one namespace.

    `image_names`: the default one first. `runtime_class`: of pods; None: the cluster's default. `strict`: refuse a cluster that does not
    isolate pods. `deps_network`: the value of the label `io.freshet/network` on pods that run `dbt deps`.
    `instance`: identifies this service among others in the same namespace, also after a restart.
    `warm`: see `ContainerRunner`; None: `WARM`.
    """

    def __init__(  # noqa: PLR0913 - one named argument per setting
        self,
        cluster: Cluster,
        *,
        image_names: Sequence[str],
        cpus: float,
        memory_bytes: int,
        timeout_s: float,
        deps_network: str,
        package_hub_url: str | None,
        instance: str,
        work_dir: Path,
        states: ParseStates,
        runtime_class: str | None = None,
        strict: bool = True,
        max_manifest_bytes: int = MAX_MANIFEST,
        warm: int | None = 0,
        patience_s: float = PATIENCE_S,
        warming_patience_s: float | None = None,
    ) -> None:
        super().__init__(
            image_names[0],
            states,
            work_dir,
            max_manifest_bytes=max_manifest_bytes,
            warm=WARM if warm is None else warm,
            patience_s=patience_s,
            warming_patience_s=warming_patience_s,
        )
        self._cluster = cluster
        self._image_names = tuple(dict.fromkeys(image_names))
        self._limits = ContainerLimits(cpus, memory_bytes, timeout_s, pids=0)
        self._deps_network = deps_network
        # dbt appends paths without a slash.
        self._deps_environment = {"DBT_PACKAGE_HUB_URL": package_hub_url.rstrip("/") + "/"} if package_hub_url else {}
        self._instance, self._runtime_class, self._strict = instance, runtime_class, strict
        self.boot_id = secrets.token_hex(8)
        self._leftovers = Leftovers(cluster.delete_pod)
        self._looking: asyncio.Task[Sequence[tuple[RunnerImage, probe.ProbeAnswer]]] | None = None
        self._looked_at_s = 0.0
        self._policy_exists = False

    async def images(self) -> Sequence[RunnerImage]:
        """The runner images, the default one first. The first call runs a small pod of each."""
        return [image for image, _ in await self._probed()]

    async def sweep(self) -> int:
        """Delete pods that an earlier run of this service left behind, or that could not be deleted; return how many."""
        with errors("looking for leftover pods"):
            found = await self._cluster.pods({MANAGED_BY: MANAGER, HOST_LABEL: self._instance})
        earlier = [pod["metadata"]["name"] for pod in found if pod["metadata"]["labels"].get(BOOT_LABEL) != self.boot_id]
        return sum([await self._leftovers.remove(name) for name in (*earlier, *self._leftovers.names())])

    async def check(self) -> str:
        """Return a line about the cluster, its images and its isolation.

        Raises RunnerImageError, EngineUnavailableError, or ConfigurationError if pods are not isolated.
        """
        with errors(DOING):
            version = await self._cluster.version()
        self._policy_exists = False
        await self._need_policy()
        found = await self._probed()
        lacks = probe.missing(found[0][1])
        isolation = f"MISSING {'; '.join(lacks)}" if lacks else "complete"
        where = f"Kubernetes {version}, namespace {self._cluster.namespace}"
        return f"{where}, {described([image for image, _ in found])}; isolation: {isolation}"

    async def close(self) -> None:
        """Delete all remaining pods."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        await super().close()

    async def open(self, spec: ContainerSpec) -> Container:
        """See `acceptance.Opener`."""
        assert isinstance(spec, PodSpec)  # noqa: S101 - made by `_spec`
        await self._need_policy()
        if self._strict:
            probe.require((await self._probed())[0][1])
        return await PodContainer.open(self._cluster, spec, self._leftovers)

    def unavailable(self, doing: str, reason: str) -> ClusterUnavailableError:
        """See `acceptance.Opener`."""
        return verdicts.unavailable(doing, reason)

    async def _spec(self, command: Command, job: DbtJob, doing: str) -> PodSpec:
        name, labels = manifests.name("freshet", job.extraction_id, command), {EXTRACTION_LABEL: manifests.label(job.extraction_id)}
        deps = command == "deps"
        return self._pod(
            name,
            job.image,
            doing,
            labels,
            network=self._deps_network if deps else NO_NETWORK,
            environment=self._deps_environment if deps else {},
        )

    async def _open_warm(self, image: RunnerImage) -> Container:
        doing = f"starting a warm pod of {image.name}"
        return await self.open(self._pod("freshet-warm", image, doing, {ROLE_LABEL: "warm"}, waits_s=OLD_S))

    async def _host(self) -> ClusterHost:
        return ClusterHost(float(max(self.pool.limit or 0, 1)) + self.pool.demand.running)

    def _forget_images(self) -> None:
        self._looking = None

    def _pod(  # noqa: PLR0913 - as many as there are settings
        self,
        name: str,
        image: RunnerImage,
        doing: str,
        labels: Mapping[str, str],
        *,
        network: str = NO_NETWORK,
        environment: Mapping[str, str] | None = None,
        waits_s: float = 0.0,
    ) -> PodSpec:
        return PodSpec(
            name=f"{name}-{secrets.token_hex(4)}",
            image=image.name,
            image_name=image.name,
            doing=doing,
            labels={MANAGED_BY: MANAGER, BOOT_LABEL: self.boot_id, HOST_LABEL: self._instance, **labels},
            limits=self._limits,
            # Twice the timeout: columns may take as long as dbt.
            deadline_s=int(DEADLINE_S + waits_s + 2 * self._limits.timeout_s) + 60,
            network=network,
            runtime_class=self._runtime_class,
            environment=environment or {},
        )

    async def _need_policy(self) -> None:
        """Make sure that the policy exists which denies pods all traffic. Raises ConfigurationError, and EngineUnavailableError."""
        if self._policy_exists:
            return
        doing = "checking the network policy"
        with errors(doing):
            policy = await self._cluster.policy(POLICY_NAME)
            if policy is None:
                await self._cluster.create_policy(manifests.network_policy())
            elif not manifests.denies_all(policy):
                step = "Delete it: Freshet creates its own."
                raise ConfigurationError(doing, f"the network policy {POLICY_NAME} does not deny everything", step)
        self._policy_exists = True

    async def _probed(self) -> Sequence[tuple[RunnerImage, probe.ProbeAnswer]]:
        """The images with what a pod of each says. Several callers wait for one look, which goes on if they stop waiting."""
        failed = self._looking is not None and self._looking.done() and (self._looking.cancelled() or self._looking.exception() is not None)
        if self._looking is None or failed or (self._looking.done() and time.monotonic() - self._looked_at_s > FRESH_S):
            self._looking, self._looked_at_s = asyncio.create_task(self._look()), time.monotonic()
        return await asyncio.shield(self._looking)

    async def _look(self) -> Sequence[tuple[RunnerImage, probe.ProbeAnswer]]:
        await self._need_policy()
        found = await asyncio.gather(*(self._look_into(name) for name in self._image_names))
        if lacks := probe.missing(found[0][1]):
            logger.warning("the cluster does not isolate pods", missing=lacks)
        return found

    async def _look_into(self, name: str) -> tuple[RunnerImage, probe.ProbeAnswer]:
        unknown = RunnerImage(name, name, "", frozenset())
        spec = self._pod("freshet-probe", unknown, f"looking into the runner image {name}", {ROLE_LABEL: "probe"})
        return await probe.probe(self._cluster, spec, self._leftovers)
