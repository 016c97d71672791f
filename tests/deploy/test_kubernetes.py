"""deploy/kubernetes fits the schemas of Kubernetes' API, the service's image and its settings, and itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from app.service.config import Settings
from tests.service import ROOT

DIRECTORY = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text())
NOT_APPLIED = {"kustomization.yaml", "secret.example.yaml"}
"""The Secret is an example: whoever applies all the rest must not overwrite their own."""
OLDEST, NEWEST = "1.25", kubernetes_validate.latest_version()
VARIABLES = {name.upper() for name in Settings.model_fields}


def objects(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


def manifests() -> list[dict[str, Any]]:
    return [one for name in KUSTOMIZATION["resources"] for one in objects(DIRECTORY / name)]


def one(kind: str) -> dict[str, Any]:
    [found] = [manifest for manifest in manifests() if manifest["kind"] == kind]
    return found


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("*.yaml")), ids=lambda path: path.name)
def test_a_manifest_fits_the_schema(path: Path, version: str) -> None:
    if path.name == "kustomization.yaml":
        assert {*KUSTOMIZATION["resources"]} == {file.name for file in DIRECTORY.glob("*.yaml")} - NOT_APPLIED
        return
    for manifest in objects(path):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schemas_find_a_misspelled_field() -> None:
    manifest = one("Deployment")
    manifest["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, NEWEST, strict=True)


def test_settings_and_secrets_are_variables_of_the_service() -> None:
    [secret] = objects(DIRECTORY / "secret.example.yaml")
    given = {**one("ConfigMap")["data"], **secret["stringData"]}
    assert {*given} - VARIABLES == set()
    assert all(isinstance(value, str) for value in given.values())
    pod = one("Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    referred = {name for source in container["envFrom"] for name in (source.popitem()[1]["name"],)}
    assert referred == {one("ConfigMap")["metadata"]["name"], secret["metadata"]["name"]}
    assert KUSTOMIZATION["images"][0]["name"] == container["image"]


def test_the_pod_has_the_user_and_the_port_of_the_image() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    [(user, group)] = re.findall(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)
    [port] = re.findall(r"^EXPOSE (\d+)$", dockerfile, re.MULTILINE)
    [volume] = re.findall(r"^VOLUME (\S+)$", dockerfile, re.MULTILINE)
    pod = one("Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    security = pod["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (int(user), int(group), int(group))
    assert [one["containerPort"] for one in container["ports"]] == [int(port)]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {volume, "/tmp"}  # noqa: S108


def test_the_pod_meets_the_restricted_standard() -> None:
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    pod = one("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & {*pod}
    assert {kind for volume in pod["volumes"] for kind in {*volume} - {"name"}} <= {
        "persistentVolumeClaim",
        "emptyDir",
        "secret",
        "configMap",
    }
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert (security["allowPrivilegeEscalation"], security["readOnlyRootFilesystem"]) == (False, True)


def test_what_selects_the_pod_finds_it() -> None:
    deployment = one("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    ports = {one["name"] for one in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]}
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        one("Service")["spec"]["selector"],
        one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ]
    assert selectors == [labels] * 4
    assert {port["targetPort"] for port in one("Service")["spec"]["ports"]} <= ports
    backends = list(_backends(one("Ingress")))
    assert backends == [(one("Service")["metadata"]["name"], "http")]
    assert one("Ingress")["spec"]["rules"][0]["host"] in one("ConfigMap")["data"]["BACKEND_URL"]
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in _volumes() if "persistentVolumeClaim" in volume]
    assert claims == [one("PersistentVolumeClaim")["metadata"]["name"]]


def test_the_pod_uses_the_rights_that_are_given_to_its_account() -> None:
    account, pod = one("ServiceAccount"), one("Deployment")["spec"]["template"]["spec"]
    given = objects(ROOT / "deploy" / "kubernetes-runner.yaml")
    [binding] = [manifest for manifest in given if manifest["kind"] == "RoleBinding"]
    name, namespace = account["metadata"]["name"], KUSTOMIZATION["namespace"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == (name, True)
    assert one("ConfigMap")["data"]["FRESHET_KUBERNETES_NAMESPACE"] == binding["metadata"]["namespace"] != namespace


def _volumes() -> list[dict[str, Any]]:
    return list(one("Deployment")["spec"]["template"]["spec"]["volumes"])


def _backends(ingress: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            service = path["backend"]["service"]
            yield service["name"], service["port"]["name"]
