"""The pod of a job, and the network policy for all of them, as the API server receives them. `docs/security.md` lists the threats.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.runner.container import ContainerSpec

USER: Final = 10001
CONTAINER: Final = "dbt"
PROGRAM: Final = ("/opt/dbt/bin/python", "-s", "/opt/freshet/runner")
"""As in the ENTRYPOINT of `Dockerfile.dbt`."""
TMP_BYTES: Final = 256 << 20
WORK, TMP = "work", "tmp"
"""The volumes."""
MANAGED_BY, MANAGER = "app.kubernetes.io/managed-by", "freshet"
HOST_LABEL, BOOT_LABEL, EXTRACTION_LABEL, ROLE_LABEL, NETWORK_LABEL = (
    f"io.freshet/{name}" for name in ("host", "boot", "extraction", "role", "network")
)
NO_NETWORK: Final = "none"
POLICY_NAME: Final = "freshet-no-network"
_NOT_IN_NAMES = re.compile(r"[^a-z0-9-]+")
_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True)
class PodSpec(ContainerSpec):
    """With what only Kubernetes has."""

    deadline_s: int = 3600
    """The kubelet stops the pod then, whatever happened to Freshet."""
    network: str = NO_NETWORK
    """The value of the label by which network policies choose."""
    runtime_class: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def pod(spec: PodSpec) -> dict[str, Any]:
    """Return the pod. Its main process only waits: the program is run inside, so the node's log has nothing of what it writes."""
    memory = str(spec.limits.memory_bytes)
    # No CPU is reserved for the whole limit: a pod that waits for a job uses none.
    requests = {"memory": memory, "cpu": f"{max(int(spec.limits.cpus * 250), 1)}m"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": spec.name, "labels": {**spec.labels, NETWORK_LABEL: spec.network}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": spec.deadline_s,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "hostname": "dbt",
            **({"runtimeClassName": spec.runtime_class} if spec.runtime_class else {}),
            **_names(spec.network),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": CONTAINER,
                    "image": spec.image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "infinity"],
                    "workingDir": "/tmp",  # noqa: S108 - the container's
                    "env": [{"name": name, "value": value} for name, value in spec.environment.items()],
                    "resources": {"limits": {"memory": memory, "cpu": f"{int(spec.limits.cpus * 1000)}m"}, "requests": requests},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "privileged": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": name, "mountPath": f"/{name}"} for name in (WORK, TMP)],
                }
            ],
            "volumes": [
                _memory(WORK, spec.limits.memory_bytes * 3 // 4),
                _memory(TMP, min(TMP_BYTES, spec.limits.memory_bytes // 4)),
            ],
        },
    }


def network_policy() -> dict[str, Any]:
    """Return the policy that denies pods without a network all traffic, in both directions, to the cluster's name server too."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": POLICY_NAME, "labels": {MANAGED_BY: MANAGER}},
        "spec": {
            "podSelector": {"matchLabels": {MANAGED_BY: MANAGER, NETWORK_LABEL: NO_NETWORK}},
            "policyTypes": ["Ingress", "Egress"],
        },
    }


def denies_all(policy: Mapping[str, Any]) -> bool:
    """Whether a policy, as the API server returns it, is ours."""
    ours, spec = network_policy()["spec"], policy["spec"]
    same = all(spec.get(key) == value for key, value in ours.items())
    return same and not spec.get("ingress") and not spec.get("egress")


def name(*parts: str) -> str:
    """Return a pod's name: lower-case letters, digits and hyphens.

    >>> name("freshet", "01ABC_d", "parse", "1f")
    'freshet-01abc-d-parse-1f'
    """
    return "-".join(_NOT_IN_NAMES.sub("-", part.lower()).strip("-")[:100] for part in parts)


def label(text: str) -> str:
    """Return the value of a label: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/.

    >>> label("01ABC"), label("branch/one")
    ('01ABC', 'branch-one')
    """
    return _NOT_IN_LABELS.sub("-", text)[:63].strip("-_.")


def _memory(volume: str, size_bytes: int) -> dict[str, Any]:
    """A volume in memory, whose files count as the container's memory."""
    return {"name": volume, "emptyDir": {"medium": "Memory", "sizeLimit": str(size_bytes)}}


def _names(network: str) -> dict[str, Any]:
    """Without a network, /etc/resolv.conf does not contain the cluster's name servers either."""
    return {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["127.0.0.1"]}} if network == NO_NETWORK else {}
