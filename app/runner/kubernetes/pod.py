"""A container in a pod of its own: create, wait for its start, run the program, delete."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Self

from app.core.errors import ClusterUnavailableError
from app.runner.cleanup import Leftovers, to_the_end
from app.runner.container import KILLED_STATUS, Container
from app.runner.kubernetes import manifests, verdicts
from app.runner.kubernetes.cluster import Cluster, RefusedRequestError, errors
from app.runner.kubernetes.exec_stream import ExecConnection, watched
from app.runner.kubernetes.manifests import PROGRAM, PodSpec
from app.runner.outcome import Exit, out_of_memory

START_TIMEOUT_S: Final = 180.0
"""From the creation of a pod to the start of its container: enough to pull an image, or for a cluster to add a node."""
SAYS_WHY_S: Final = 5.0
"""How long after the end of a program the pod's status may still say why."""

PodState = dict[str, Any] | None


class PodWatch:
    """The state of a pod, which is followed until the pod ends. The owner closes it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.pod: PodState = None
        self._known = False
        self._changed = asyncio.Condition()
        self._task = asyncio.create_task(self._follow(cluster, name), name="pod watch")

    async def until(self, holds: Callable[[PodState], bool], timeout_s: float) -> bool:
        """Wait until something holds for the pod; False after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self._known and holds(self.pod))
        except TimeoutError:
            return False
        return True

    async def ended(self) -> None:
        """Wait until the pod does not run any more."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._known and verdicts.has_ended(self.pod))

    async def close(self) -> None:
        """Stop following."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _follow(self, cluster: Cluster, name: str) -> None:
        async for pod in cluster.changes(name):
            async with self._changed:
                self.pod, self._known = pod, True
                self._changed.notify_all()
            if verdicts.has_ended(pod):
                return


class PodContainer(Container):
    """The program in a pod."""

    def __init__(self, spec: PodSpec, cluster: Cluster, watch: PodWatch, uid: str, connection: ExecConnection) -> None:
        super().__init__(spec)
        self._cluster, self._watch, self._uid, self._connection = cluster, watch, uid, connection

    @classmethod
    async def open(cls, cluster: Cluster, spec: PodSpec, leftovers: Leftovers) -> Self:
        """Create a pod and run the program, or raise EngineUnavailableError, RunnerImageError or ConfigurationError and leave none."""
        async with AsyncExitStack() as stack:
            pod, watch = await stack.enter_async_context(started(cluster, spec, leftovers))
            with errors(spec.doing):
                connection = await cluster.execute(spec.name, watched(PROGRAM))
            opened = cls(spec, cluster, watch, pod["metadata"]["uid"], connection)
            opened._attach(connection)
            stack.push_async_callback(opened.streams.close)
            opened._stack = stack.pop_all()
        return opened

    def unavailable(self, reason: str) -> ClusterUnavailableError:
        """The error for a failure of the cluster."""
        return verdicts.unavailable(self.spec.doing, reason)

    async def exit(self) -> Exit:
        """Say how the program ended. Raises ContainerOutOfMemoryError, ContainerTimedOutError and EngineUnavailableError."""
        await asyncio.wait([self.streams.reading], timeout=SAYS_WHY_S)
        status = self._connection.status
        # The pod may have been ended from outside, and the program with it: its status is there a little later.
        if status in {None, KILLED_STATUS}:
            await self._watch.until(verdicts.has_ended, SAYS_WHY_S)
            if failure := await self._failure():
                raise failure
        if status is None:
            raise self.unavailable("the connection to its container broke")
        if status == KILLED_STATUS:
            raise out_of_memory(self.spec)
        return Exit(status, oom_killed=False, log=self.log.text())

    async def _failure(self) -> Exception | None:
        if not verdicts.has_ended(self._watch.pod):
            return None
        assert isinstance(self.spec, PodSpec)  # noqa: S101 - from the start
        return verdicts.end_failure(self._watch.pod, await self._cluster.events(self._uid), self.spec)

    async def _ended(self) -> None:
        ends = {asyncio.create_task(self._watch.ended()), asyncio.create_task(self._connection.ended.wait())}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()


@asynccontextmanager
async def started(cluster: Cluster, spec: PodSpec, leftovers: Leftovers) -> AsyncIterator[tuple[dict[str, Any], PodWatch]]:
    """Yield a pod whose container runs, and delete it afterwards. Raises like `PodContainer.open`."""
    # A cancelled request may still create a pod, even after a deletion did not find it. So always wait for the creation.
    creating = asyncio.create_task(cluster.create_pod(manifests.pod(spec)))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(to_the_end, _dispose(creating, spec.name, leftovers))
        with errors(spec.doing):
            pod = await asyncio.shield(creating)
        watch = PodWatch(cluster, spec.name)
        stack.push_async_callback(watch.close)
        since = time.monotonic()
        await watch.until(lambda pod: verdicts.is_running(pod) or verdicts.will_not_start(pod), START_TIMEOUT_S)
        if not verdicts.is_running(watch.pod):
            events = await cluster.events(pod["metadata"]["uid"])
            raise verdicts.start_failure(watch.pod, events, spec, round(time.monotonic() - since))
        yield watch.pod or pod, watch


async def _dispose(creating: asyncio.Task[dict[str, Any]], name: str, leftovers: Leftovers) -> None:
    await asyncio.wait([creating])
    error = None if creating.cancelled() else creating.exception()
    # A server that refused created nothing; one that did not answer may have.
    if isinstance(error, RefusedRequestError) and error.status < 500:  # noqa: PLR2004 - HTTP's
        return
    await leftovers.remove(name)
