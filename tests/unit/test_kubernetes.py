"""Pods as the standard `restricted` wants them, what a pod's status says, and the settings."""

from __future__ import annotations

import subprocess
from itertools import accumulate, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from app.core.errors import (
    ClusterFullError,
    ClusterUnavailableError,
    ConfigurationError,
    ContainerOutOfMemoryError,
    ContainerTimedOutError,
    FreshetError,
    RunnerImageError,
)
from app.runner.kubernetes import manifests, probe, verdicts
from app.runner.kubernetes.exec_stream import END, ExecConnection, exit_status, watched
from app.runner.kubernetes.manifests import PodSpec
from app.runner.outcome import ContainerLimits
from app.service import components, config

ROOT = Path(__file__).parents[2]
LABELS = {"app.kubernetes.io/managed-by": "freshet"}


def spec(**changed: Any) -> PodSpec:
    fields: dict[str, Any] = {"name": "n", "image": "i:1", "image_name": "i:1", "doing": "parsing octo/shop at 1a2b3c4", "labels": LABELS}
    return PodSpec(**{**fields, "limits": ContainerLimits(1.5, 512 << 20, 60.0, 0), **changed})


def test_a_pod_is_restricted() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and more."""
    body = manifests.pod(spec())["spec"]
    [container] = body["containers"]
    assert body["securityContext"]["runAsNonRoot"] is True
    assert body["securityContext"]["runAsUser"] == 10001
    assert body["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert body["automountServiceAccountToken"] is False
    assert body["enableServiceLinks"] is False
    assert body["restartPolicy"] == "Never"
    # These share something with the node, and have to be asked for.
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostAliases", "shareProcessNamespace", "initContainers", "nodeName"} & body.keys()
    assert {kind for volume in body["volumes"] for kind in volume} == {"name", "emptyDir"}
    assert "ports" not in container


def test_every_resource_of_a_pod_is_limited() -> None:
    body = manifests.pod(spec(deadline_s=900))["spec"]
    [container] = body["containers"]
    assert container["resources"]["limits"] == {"memory": str(512 << 20), "cpu": "1500m"}
    assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"], "no node promises more than it has"
    assert body["activeDeadlineSeconds"] == 900
    sizes = [int(volume["emptyDir"]["sizeLimit"]) for volume in body["volumes"]]
    assert sum(sizes) <= 512 << 20
    assert {volume["emptyDir"]["medium"] for volume in body["volumes"]} == {"Memory"}


def test_only_a_pod_that_installs_packages_has_a_network() -> None:
    selected = manifests.network_policy()["spec"]["podSelector"]["matchLabels"].items()
    parsing, installing = (manifests.pod(spec(**changed)) for changed in ({}, {"network": "packages"}))
    assert selected <= parsing["metadata"]["labels"].items()
    assert not selected <= installing["metadata"]["labels"].items()
    assert parsing["spec"]["dnsConfig"] == {"nameservers": ["127.0.0.1"]}
    assert "dnsConfig" not in installing["spec"]
    assert manifests.denies_all(manifests.network_policy())
    changes: list[dict[str, Any]] = [{"egress": [{}]}, {"policyTypes": ["Ingress"]}, {"podSelector": {"matchLabels": {"app": "other"}}}]
    for change in changes:
        policy = manifests.network_policy()
        policy["spec"] |= change
        assert not manifests.denies_all(policy), change


@pytest.mark.parametrize("version", ["1.25", "1.28", "1.31", "1.35", kubernetes_validate.latest_version()])
def test_what_is_created_fits_the_schemas_of_old_and_new_clusters(version: str) -> None:
    documents = [*yaml.safe_load_all((ROOT / "deploy/kubernetes-runner.yaml").read_text())]
    for created in (manifests.pod(spec(runtime_class="gvisor")), manifests.network_policy(), *documents):
        kubernetes_validate.validate(created, version, strict=True)


def test_a_runtime_class_is_that_of_the_settings() -> None:
    assert "runtimeClassName" not in manifests.pod(spec())["spec"]
    assert manifests.pod(spec(runtime_class="gvisor"))["spec"]["runtimeClassName"] == "gvisor"


def pod(phase: str = "Running", state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    statuses = [{"name": "dbt", "state": state}] if state else []
    return {"metadata": {"name": "n"}, "status": {"phase": phase, "containerStatuses": statuses, **status}}


def warning(reason: str, message: str) -> dict[str, Any]:
    return {"type": "Warning", "reason": reason, "message": message}


ENDS: list[tuple[dict[str, Any] | None, type[FreshetError], str]] = [
    (pod("Failed", reason="Evicted", message="The node was low on resource: memory. "), ClusterUnavailableError, "low on resource: memory"),
    (
        pod("Failed", reason="Evicted", message='Usage of EmptyDir volume "work" exceeds the limit "384Mi". '),
        ContainerOutOfMemoryError,
        "512 MiB",
    ),
    (
        pod("Failed", reason="Evicted", message="Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. "),
        ContainerOutOfMemoryError,
        "DBT_MEMORY",
    ),
    (
        pod("Failed", reason="DeadlineExceeded", message="Pod was active on the node longer than the specified deadline"),
        ContainerTimedOutError,
        "DBT_TIMEOUT",
    ),
    (pod("Failed", {"terminated": {"reason": "OOMKilled", "exitCode": 137}}), ContainerOutOfMemoryError, "512 MiB"),
    (pod("Failed", reason="NodeLost", message="Node node-1 which was running pod n is unresponsive"), ClusterUnavailableError, "NodeLost"),
    (pod("Failed", reason="Preempting", message="Preempted in order to admit critical pod"), ClusterUnavailableError, "Preempting"),
    (
        pod("Failed", reason="Terminated", message="Pod was terminated in response to imminent node shutdown."),
        ClusterUnavailableError,
        "shutdown",
    ),
    (
        pod("Failed", {"terminated": {"reason": "ContainerCannotRun", "exitCode": 127, "message": 'exec: "sleep": not found'}}),
        RunnerImageError,
        '"sleep": not found',
    ),
    (pod("Failed", {"terminated": {"reason": "Error", "exitCode": 1}}), ClusterUnavailableError, "ended with status 1"),
    (None, ClusterUnavailableError, "its pod was deleted"),
]


@pytest.mark.parametrize(("ended", "error", "words"), ENDS)
def test_the_end_of_a_pod_is_an_error_that_says_why(ended: dict[str, Any] | None, error: type[FreshetError], words: str) -> None:
    assert verdicts.has_ended(ended)
    found = verdicts.end_failure(ended, [], spec())
    assert type(found) is error
    assert words in found.user_text


def test_a_pod_that_runs_has_not_failed() -> None:
    running = pod(state={"running": {"startedAt": "2026-01-01T00:00:00Z"}})
    assert verdicts.is_running(running)
    assert not verdicts.has_ended(running)
    assert verdicts.end_failure(running, [], spec()) is None


STARTS: list[tuple[dict[str, Any], list[dict[str, Any]], bool, type[FreshetError], str]] = [
    (
        pod("Pending", {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "i:1"'}}),
        [warning("Failed", 'Failed to pull image "i:1": manifest unknown'), warning("Failed", "Error: ErrImagePull")],
        True,
        RunnerImageError,
        "manifest unknown",
    ),
    (
        pod("Pending", {"waiting": {"reason": "ErrImagePull", "message": "no such host"}}),
        [],
        False,
        RunnerImageError,
        "no such host",
    ),
    (
        pod("Pending", {"waiting": {"reason": "CreateContainerConfigError", "message": "container has runAsNonRoot"}}),
        [],
        True,
        ClusterUnavailableError,
        "runAsNonRoot",
    ),
    (
        pod("Pending", conditions=[{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: 3 Insufficient cpu."}]),
        [],
        False,
        ClusterFullError,
        "3 Insufficient cpu",
    ),
    (
        pod("Pending", {"waiting": {"reason": "ContainerCreating"}}),
        [warning("FailedCreatePodSandBox", "no network plugin")],
        False,
        ClusterUnavailableError,
        "no network plugin",
    ),
    (
        pod("Failed", reason="OutOfcpu", message="Pod Node didn't have enough resource: cpu"),
        [],
        True,
        ClusterUnavailableError,
        "enough resource: cpu",
    ),
]


@pytest.mark.parametrize(("waits", "events", "useless", "error", "words"), STARTS)
def test_a_pod_that_does_not_start_is_an_error_that_says_why(
    waits: dict[str, Any], events: list[dict[str, Any]], *, useless: bool, error: type[FreshetError], words: str
) -> None:
    assert verdicts.will_not_start(waits) == useless
    found = verdicts.start_failure(waits, events, spec(), 180)
    assert type(found) is error
    assert words in found.user_text


@pytest.mark.parametrize(
    ("status", "message", "error", "words"),
    [
        (403, 'pods "n" is forbidden: exceeded quota: small, requested: requests.memory=2Gi', ClusterFullError, "Raise the quota"),
        (403, 'pods "n" is forbidden: User "x" cannot create resource "pods"', ConfigurationError, "role"),
        (403, 'pods "n" is forbidden: violates PodSecurity "restricted:latest"', ConfigurationError, "`restricted`"),
        (403, 'pods "n" is forbidden: pod rejected: RuntimeClass "gvisor" not found', ConfigurationError, "`FRESHET_CONTAINER_RUNTIME`"),
        (404, 'namespaces "nowhere" not found', ConfigurationError, "`FRESHET_KUBERNETES_NAMESPACE`"),
        (401, "Unauthorized", ClusterUnavailableError, "Unauthorized"),
        (429, "too many requests", ClusterUnavailableError, "retries automatically"),
        (500, "etcdserver: request timed out", ClusterUnavailableError, "etcdserver"),
    ],
)
def test_a_refused_request_is_an_error_that_says_what_to_do(status: int, message: str, error: type[FreshetError], words: str) -> None:
    found = verdicts.refused("parsing octo/shop at 1a2b3c4", status, message)
    assert type(found) is error
    assert words in found.user_text


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b'{"status":"Success"}', 0),
        (b'{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"137"}]}}', 137),
        (b'{"status":"Failure","message":"error executing command in container: container is not running"}', None),
        (b"not json", None),
        (b"[]", None),
        (b'{"details":{"causes":[{"reason":"ExitCode","message":"x"}]}}', None),
    ],
)
def test_the_status_of_a_program_is_read(text: bytes, status: int | None) -> None:
    assert exit_status(text) == status


class Said:
    """A connection over which these messages come."""

    def __init__(self, *messages: bytes) -> None:
        self._messages = [SimpleNamespace(type=aiohttp.WSMsgType.BINARY, data=message) for message in messages]

    async def receive(self) -> Any:
        return self._messages.pop(0) if self._messages else SimpleNamespace(type=aiohttp.WSMsgType.CLOSED)


async def heard(*messages: bytes) -> tuple[bytes, bytes, int | None]:
    """What arrives on both streams, and the exit status."""
    connection = ExecConnection(Said(*messages))  # type: ignore[arg-type]
    output = {1: b"", 2: b""}
    while message := await connection.read():
        output[message[0]] += message[1]
    return output[1], output[2], connection.status


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 255), st.lists(st.integers(1, 40), max_size=8))
async def test_the_end_of_a_program_is_found_wherever_messages_are_cut(out: bytes, log: bytes, status: int, cuts: list[int]) -> None:
    assume(END not in out + log)
    end = END + b"%d\n" % status
    messages = []
    for stream, text in ((1, out + end), (2, log + end)):
        places = [0, *accumulate(cuts), max(len(text), sum(cuts))]
        messages += [bytes([stream]) + text[start:stop] for start, stop in pairwise(places)]
    assert await heard(*messages) == (out, log, status)


async def test_output_that_only_looks_like_an_end_arrives() -> None:
    text = b"a\0freshet: exit soon\0fresh"
    out, _, status = await heard(b"\x01" + text[:9], b"\x01" + text[9:], b"\x01 air\n")
    assert (out, status) == (text + b" air\n", None)


def test_the_end_is_said_on_both_streams_and_unread_input_is_read() -> None:
    command = watched(["sh", "-c", "echo out; echo log >&2; exit 3"])
    done = subprocess.run(command, input=bytes(1 << 20), capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"out\n" + END + b"3\n", b"log\n" + END + b"3\n")


def test_a_cluster_without_walls_is_refused() -> None:
    good = probe.ProbeAnswer(
        "1.11.16",
        frozenset({"duckdb"}),
        columns=True,
        network=False,
        seccomp=True,
        no_new_privileges=True,
        capabilities=False,
        root=False,
        writable=False,
        memory_limit=True,
        token=False,
    )
    probe.require(good)
    for change in ("network", "seccomp", "memory_limit", "no_new_privileges", "capabilities", "root", "writable", "token"):
        fields = {name: getattr(good, name) for name in good.__struct_fields__}
        with pytest.raises(ConfigurationError) as caught:
            probe.require(probe.ProbeAnswer(**{**fields, change: not fields[change]}))
        assert "FRESHET_ISOLATION=available" in caught.value.user_text


def test_the_role_has_what_the_runner_uses_and_no_more() -> None:
    documents = {one["kind"]: one for one in yaml.safe_load_all((ROOT / "deploy/kubernetes-runner.yaml").read_text())}
    rights = {(resource, verb) for rule in documents["Role"]["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert rights == {
        *(("pods", verb) for verb in ("get", "list", "watch", "create", "delete")),
        *(("pods/exec", verb) for verb in ("get", "create")),
        ("events", "list"),
        *(("networkpolicies", verb) for verb in ("get", "create")),
    }
    assert documents["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "FRESHET_KUBERNETES_NAMESPACE and FRESHET_KUBERNETES_IMAGE must be set"),
        ({"FRESHET_KUBERNETES_NAMESPACE": "dbt"}, "FRESHET_KUBERNETES_IMAGE must be set"),
        ({"FRESHET_KUBERNETES_NAMESPACE": "Not_A_Name", "FRESHET_KUBERNETES_IMAGE": "i"}, "FRESHET_KUBERNETES_NAMESPACE"),
        (
            {"FRESHET_KUBERNETES_NAMESPACE": "dbt", "FRESHET_KUBERNETES_IMAGE": "i", "FRESHET_SECCOMP": "/etc/seccomp.json"},
            "FRESHET_SECCOMP cannot be used",
        ),
    ],
)
def test_settings_that_cannot_work_stop_the_start(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str) -> None:
    for name, value in {"FRESHET_RUNNER": "kubernetes", **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=words):
        config.read()


async def test_without_credentials_the_message_names_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FRESHET_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("FRESHET_RUNNER", "kubernetes")
    monkeypatch.setenv("FRESHET_KUBERNETES_NAMESPACE", "dbt")
    monkeypatch.setenv("FRESHET_KUBERNETES_IMAGE", "registry.example.com/dbt-runner:1.11, registry.example.com/dbt-runner:1.10")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    settings = config.read()
    assert components.runner_name(settings) == "Kubernetes"
    assert len(settings.freshet_kubernetes_image) == 2
    for kubeconfig in ("", str(tmp_path / "nothing")):
        monkeypatch.setenv("KUBECONFIG", kubeconfig)
        with pytest.raises(ConfigurationError, match="there are no credentials for a cluster") as caught:
            async with components.runner(config.read(), None):  # type: ignore[arg-type]
                pass
        assert "`KUBECONFIG`" in caught.value.user_text
