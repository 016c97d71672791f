"""What the API server, a pod's status and its events say, as the same errors that the Docker backend raises.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#PodStatus
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.core.errors import ClusterFullError, ClusterUnavailableError, ConfigurationError, FreshetError, RunnerImageError
from app.runner.kubernetes.manifests import PodSpec
from app.runner.outcome import out_of_memory, timed_out

NEXT_STEP: Final = "Freshet retries automatically. If the problem persists, check the cluster: `kubectl get events` shows what happened."
ROOM_STEP: Final = (
    "Freshet retries automatically. Raise the quota or add nodes, or lower `DBT_MEMORY`, `DBT_CPUS` or `EXTRACTION_CONCURRENCY`."
)
IMAGE_STEP: Final = "Push it to a registry that the nodes can pull from, or correct `FRESHET_KUBERNETES_IMAGE`."
RIGHTS_STEP: Final = "Give Freshet's account the role in docs/kubernetes.md."
IMAGE_REASONS: Final = {"ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ErrImageNeverPullPolicy", "ImageInspectError"}
"""Why a container waits. ErrImagePull is not among them: the kubelet tries again, and then says ImagePullBackOff."""
CREATE_REASONS: Final = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
VOLUME_WORDS: Final = ("emptydir volume", "ephemeral")
FORBIDDEN, NOT_FOUND = 403, 404

Pod = Mapping[str, Any]
"""As the API server returns it."""
Events = Sequence[Mapping[str, Any]]
"""Of a pod, the oldest first."""


def unavailable(doing: str, reason: str) -> ClusterUnavailableError:
    """The error for a failure of the cluster."""
    return ClusterUnavailableError(doing, reason, NEXT_STEP)


def refused(doing: str, status: int, message: str) -> FreshetError:
    """The error for a request that the API server answered with an error."""
    said = f"the cluster answered: {message}"
    if status != FORBIDDEN:
        missing = status == NOT_FOUND and "namespaces" in message
        return ConfigurationError(doing, said, "Correct `FRESHET_KUBERNETES_NAMESPACE`.") if missing else unavailable(doing, said)
    if "exceeded quota" in message or "failed quota" in message:
        return ClusterFullError(doing, f"the quota of the namespace is used up ({message})", ROOM_STEP)
    if "RuntimeClass" in message:
        return ConfigurationError(doing, said, "Correct `FRESHET_CONTAINER_RUNTIME`: on Kubernetes it is the name of a RuntimeClass.")
    if "cannot" in message:
        return ConfigurationError(doing, said, RIGHTS_STEP)
    return ConfigurationError(doing, said, "Its admission rules have to allow pods of the standard `restricted`: see docs/kubernetes.md.")


def is_running(pod: Pod | None) -> bool:
    """Whether the container runs."""
    return "running" in _container_state(pod)


def has_ended(pod: Pod | None) -> bool:
    """Whether the pod is gone, is being deleted, or will not run any more."""
    if pod is None or "deletionTimestamp" in pod["metadata"]:
        return True
    return pod["status"].get("phase") in {"Failed", "Succeeded"} or "terminated" in _container_state(pod)


def will_not_start(pod: Pod | None) -> bool:
    """Whether waiting for the container's start is useless."""
    reason = _container_state(pod).get("waiting", {}).get("reason", "")
    return has_ended(pod) or reason in IMAGE_REASONS or reason in CREATE_REASONS


def start_failure(pod: Pod | None, events: Events, spec: PodSpec, waited_s: float) -> FreshetError:
    """The error for a pod whose container does not run."""
    if has_ended(pod):
        return end_failure(pod, events, spec) or unavailable(spec.doing, f"its pod ended before it had started{_last_warning(events)}")
    waiting = _container_state(pod).get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in IMAGE_REASONS or reason == "ErrImagePull":
        said = next((text for text in reversed(_warnings(events)) if "pull" in text.lower() and "Error:" not in text), message)
        return RunnerImageError(spec.doing, f"no node of the cluster can get the image {spec.image_name!r} ({said or reason})", IMAGE_STEP)
    if reason in CREATE_REASONS:
        return unavailable(spec.doing, f"the kubelet cannot start the container ({reason}: {message})")
    for condition in pod["status"].get("conditions") or () if pod else ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            said = condition.get("message") or condition.get("reason", "")
            return ClusterFullError(spec.doing, f"no node of the cluster took the pod for {waited_s:g} seconds ({said})", ROOM_STEP)
    return unavailable(spec.doing, f"the pod did not start within {waited_s:g} seconds{_last_warning(events)}")


def end_failure(pod: Pod | None, events: Events, spec: PodSpec) -> FreshetError | None:
    """The error for a pod that was ended from outside; None if it was not."""
    if pod is None or "deletionTimestamp" in pod["metadata"]:
        return unavailable(spec.doing, f"its pod was deleted{_last_warning(events)}")
    status, terminated = pod["status"], _container_state(pod).get("terminated", {})
    reason, message = status.get("reason", ""), status.get("message", "")
    if reason == "DeadlineExceeded":
        return timed_out(spec)
    files_too_big = reason == "Evicted" and any(words in message.lower() for words in VOLUME_WORDS)
    if terminated.get("reason") == "OOMKilled" or files_too_big:
        return out_of_memory(spec)
    if reason:
        return unavailable(spec.doing, f"the cluster ended its pod ({reason}: {message})")
    return _container_failure(terminated, events, spec) if terminated else None


def _container_failure(terminated: Mapping[str, Any], events: Events, spec: PodSpec) -> FreshetError:
    """The error for a container whose main process, which only waits, has ended."""
    if terminated.get("reason") in {"ContainerCannotRun", "StartError"}:
        reason = f"the image {spec.image_name!r} cannot be started ({terminated.get('message') or terminated['reason']})"
        return RunnerImageError(spec.doing, reason, "Rebuild the image with `make image`.")
    return unavailable(spec.doing, f"its pod ended with status {terminated.get('exitCode')}{_last_warning(events)}")


def _container_state(pod: Pod | None) -> Mapping[str, Any]:
    statuses = (pod["status"].get("containerStatuses") or ()) if pod else ()
    return statuses[0].get("state") or {} if statuses else {}


def _warnings(events: Events) -> list[str]:
    return [f"{event.get('reason')}: {event.get('message', '').strip()}" for event in events if event.get("type") == "Warning"]


def _last_warning(events: Events) -> str:
    warnings = _warnings(events)
    return f" ({warnings[-1]})" if warnings else ""
