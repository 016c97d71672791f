"""The connection to one namespace of a Kubernetes cluster, and its errors as ours.

Answers are JSON, as the API server sends them: the models of the client library would only hide what newer servers add.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import aiohttp
from kubernetes_asyncio import client, config
from kubernetes_asyncio.config.kube_config import refresh_token
from kubernetes_asyncio.stream import WsApiClient

from app.core.errors import ConfigurationError
from app.runner.kubernetes import verdicts
from app.runner.kubernetes.exec_stream import ExecConnection
from app.runner.kubernetes.manifests import CONTAINER
from app.runner.kubernetes.verdicts import FORBIDDEN, NOT_FOUND

CALL_TIMEOUT_S: Final = 30.0
WATCH_S: Final = 240
"""After that the server ends a watch, and the next one begins."""
PAUSE_S: Final = 1.0
"""Before a watch that failed is tried again."""
HEARTBEAT_S: Final = 30.0
"""A connection over which nothing comes for that long is pinged: load balancers close idle ones."""
DOING: Final = "connecting to the Kubernetes cluster"


class RefusedRequestError(Exception):
    """The API server answered with an error: `status` is HTTP's, `message` its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@contextmanager
def errors(doing: str) -> Iterator[None]:
    """Turn errors of the cluster or the connection into ours. Callers handle what they expect themselves, inside."""
    try:
        yield
    except RefusedRequestError as error:
        raise verdicts.refused(doing, error.status, error.message) from error
    except aiohttp.WSServerHandshakeError as error:
        if error.status == FORBIDDEN:
            reason = "the cluster does not allow Freshet to run a program in its pods"
            raise ConfigurationError(doing, reason, verdicts.RIGHTS_STEP) from error
        raise verdicts.unavailable(doing, f"the program could not be started in the pod (status {error.status})") from error
    except TimeoutError as error:
        raise verdicts.unavailable(doing, f"the cluster did not answer within {CALL_TIMEOUT_S:g} seconds") from error
    except (aiohttp.ClientError, OSError) as error:
        raise verdicts.unavailable(doing, f"the connection to the cluster broke ({error})") from error


class Cluster:
    """One namespace."""

    def __init__(self, api: client.ApiClient, streams: WsApiClient, namespace: str) -> None:
        # Any: with `_preload_content=False`, their methods take JSON and return aiohttp's responses, which their types do not say.
        self._core: Any = client.CoreV1Api(api)
        self._networking: Any = client.NetworkingV1Api(api)
        self._version: Any = client.VersionApi(api)
        self._exec: Any = client.CoreV1Api(streams)
        self.namespace = namespace

    async def version(self) -> str:
        """The server's version, such as `v1.33.2`."""
        return str((await _answer(self._version.get_code(**_RAW)))["gitVersion"])

    async def create_pod(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create a pod. Raises RefusedRequestError."""
        return await _answer(self._core.create_namespaced_pod(self.namespace, body, **_RAW))

    async def pod(self, name: str) -> dict[str, Any] | None:
        """A pod; None if there is none."""
        try:
            return await _answer(self._core.read_namespaced_pod(name, self.namespace, **_RAW))
        except RefusedRequestError as error:
            if error.status == NOT_FOUND and "pods" in error.message:
                return None
            raise

    async def pods(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """Pods with all of the labels."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        found = await _answer(self._core.list_namespaced_pod(self.namespace, label_selector=selector, **_RAW))
        return list(found["items"])

    async def delete_pod(self, name: str) -> None:
        """Kill and delete a pod, and wait until it is gone. Raises EngineUnavailableError: repeat until it does not."""
        doing = f"removing the pod {name}"
        with errors(doing):
            with suppress(RefusedRequestError):
                await _answer(self._core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=0, **_RAW))
            if await self.pod(name) is not None:
                raise verdicts.unavailable(doing, "the cluster has not deleted it yet")

    async def events(self, uid: str) -> list[dict[str, Any]]:
        """The events of a pod, the oldest first; none if the cluster does not tell."""
        try:
            found = await _answer(
                self._core.list_namespaced_event(self.namespace, field_selector=f"involvedObject.uid={uid}", **_RAW),
            )
        except (RefusedRequestError, aiohttp.ClientError, OSError):
            return []
        return sorted(found["items"], key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")

    async def changes(self, name: str) -> AsyncIterator[dict[str, Any] | None]:
        """A pod now and after each change; None once it is gone. A lost connection is opened again."""
        while True:
            try:
                pod = await self.pod(name)
                yield pod
                if pod is None:
                    return
                async for change in self._watch(name, pod["metadata"]["resourceVersion"]):
                    yield change
                    if change is None:
                        return
            except (RefusedRequestError, aiohttp.ClientError, OSError, ValueError):
                await asyncio.sleep(PAUSE_S)

    async def execute(self, name: str, command: Sequence[str]) -> ExecConnection:
        """Run a program in a pod, attached to its standard streams. Raises aiohttp's errors."""
        async with asyncio.timeout(CALL_TIMEOUT_S):
            websocket = await (
                await self._exec.connect_get_namespaced_pod_exec(
                    name,
                    self.namespace,
                    command=list(command),
                    container=CONTAINER,
                    stdin=True,
                    stdout=True,
                    stderr=True,
                    tty=False,
                    _preload_content=False,
                )
            )
        return ExecConnection(websocket)

    async def policy(self, name: str) -> dict[str, Any] | None:
        """A network policy; None if there is none."""
        try:
            return await _answer(self._networking.read_namespaced_network_policy(name, self.namespace, **_RAW))
        except RefusedRequestError as error:
            if error.status == NOT_FOUND and "networkpolicies" in error.message:
                return None
            raise

    async def create_policy(self, body: Mapping[str, Any]) -> None:
        """Create a network policy. Raises RefusedRequestError."""
        await _answer(self._networking.create_namespaced_network_policy(self.namespace, body, **_RAW))

    async def _watch(self, name: str, version: str) -> AsyncIterator[dict[str, Any] | None]:
        """Each change after a version, until the server ends the watch."""
        response = await self._core.list_namespaced_pod(
            self.namespace,
            field_selector=f"metadata.name={name}",
            resource_version=version,
            timeout_seconds=WATCH_S,
            watch=True,
            _preload_content=False,
            _request_timeout=aiohttp.ClientTimeout(sock_connect=CALL_TIMEOUT_S, sock_read=WATCH_S + CALL_TIMEOUT_S),
        )
        async with response:
            async for line in response.content:
                change = json.loads(line)
                if change["type"] == "DELETED":
                    yield None
                elif change["type"] in {"ADDED", "MODIFIED"}:
                    yield change["object"]
                else:
                    return


_RAW: Final[dict[str, Any]] = {"_preload_content": False, "_request_timeout": CALL_TIMEOUT_S}


async def _answer(request: Awaitable[Any]) -> dict[str, Any]:
    async with await request as response:
        text = await response.text()
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"message": text[:500]}
        if response.status >= 400:  # noqa: PLR2004 - HTTP's
            raise RefusedRequestError(response.status, str(answer.get("message") or response.reason))
        return dict(answer)


@asynccontextmanager
async def connect(namespace: str, kubeconfig: str | None = None) -> AsyncIterator[Cluster]:
    """Yield a client for a namespace, by the current context of a kubeconfig, or else by the account of the pod in which this runs.

    This does not contact the cluster yet. Raises ConfigurationError.
    """
    configuration = client.Configuration()
    refreshing: asyncio.Task[None] | None = None
    try:
        if kubeconfig:
            loader = await config.load_kube_config(kubeconfig, client_configuration=configuration, persist_config=False)
            # Credentials of a plugin expire.
            refreshing = asyncio.create_task(refresh_token(loader, configuration, interval=60))
        else:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError, ValueError, KeyError) as error:
        step = "Correct `KUBECONFIG`." if kubeconfig else "Set `KUBECONFIG`, or run Freshet in a pod with a service account."
        raise ConfigurationError(DOING, f"there are no credentials for a cluster ({error})", step) from error
    # Each running container uses one connection, and their number is limited elsewhere.
    configuration.connection_pool_maxsize = 0
    try:
        async with client.ApiClient(configuration) as api, WsApiClient(configuration, heartbeat=HEARTBEAT_S) as streams:
            yield Cluster(api, streams, namespace)
    finally:
        if refreshing is not None:
            refreshing.cancel()
