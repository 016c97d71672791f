"""The settings of containers, the required capabilities of engines, and that the table of threats names tests that exist."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import ConfigurationError
from app.runner.docker import capabilities, isolation
from app.runner.docker.isolation import DockerSpec, Policy
from app.runner.outcome import ContainerLimits
from app.service import config
from tests import source

ROOT = Path(__file__).parents[2]
GOOD: dict[str, Any] = {
    "OSType": "linux",
    "NCPU": 4,
    "MemoryLimit": True,
    "SwapLimit": True,
    "PidsLimit": True,
    "CpuCfsQuota": True,
    "Runtimes": {"runc": {}, "runsc": {}},
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns", "name=userns"],
}


def spec(**changed: Any) -> DockerSpec:
    fields: dict[str, Any] = {"name": "n", "image": "i", "image_name": "i:1", "doing": "testing", "labels": {}}
    return DockerSpec(**{**fields, "limits": ContainerLimits(1.5, 512 << 20, 60.0, 64), **changed})


def test_a_container_gets_nothing_of_the_host() -> None:
    body = isolation.config(spec())
    host = body["HostConfig"]
    assert body["Env"] == []
    assert (body["User"], body["Hostname"]) == ("10001:10001", "dbt")
    from_host = {"Binds", "Mounts", "VolumesFrom", "Devices", "DeviceRequests", "CapAdd", "ExtraHosts", "Links", "Sysctls", "PortBindings"}
    # These keep the engine's defaults: shared namespaces, open paths and unconfined profiles have to be requested explicitly.
    shared = {"PidMode", "UTSMode", "UsernsMode", "MaskedPaths", "ReadonlyPaths", "CgroupParent", "GroupAdd", "OomKillDisable"}
    assert not (from_host | shared) & host.keys()
    assert (host["Privileged"], host["ReadonlyRootfs"], host["CapDrop"]) == (False, True, ["ALL"])
    assert (host["NetworkMode"], host["IpcMode"], host["CgroupnsMode"]) == ("none", "private", "private")
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert "Runtime" not in host


def test_every_resource_of_a_container_is_limited() -> None:
    host = isolation.config(spec())["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 512 << 20
    assert (host["NanoCpus"], host["PidsLimit"], host["OomScoreAdj"]) == (1_500_000_000, 64, 1000)
    assert {limit["Name"]: limit["Hard"] for limit in host["Ulimits"]} == {"core": 0, "nofile": 4096, "fsize": 512 << 20, "msgqueue": 0}
    sizes = [int(value) for options in host["Tmpfs"].values() for value in re.findall(r"\bsize=(\d+)", options)]
    assert sum(sizes) <= host["Memory"]
    assert all({"nosuid", "nodev", "noexec"} <= {*options.split(",")} and "nr_inodes=" in options for options in host["Tmpfs"].values())


def test_names_are_resolved_only_on_the_operators_network() -> None:
    assert isolation.config(spec())["HostConfig"]["Dns"] == ["127.0.0.1"]
    host = isolation.config(spec(network="packages"))["HostConfig"]
    assert host["NetworkMode"] == "packages"
    assert "Dns" not in host


def test_a_runtime_and_a_profile_are_passed_on() -> None:
    host = isolation.config(spec(policy=Policy(runtime="runsc", seccomp="{}")))["HostConfig"]
    assert host["Runtime"] == "runsc"
    assert host["SecurityOpt"] == ["no-new-privileges", "seccomp={}"]


@pytest.mark.parametrize(
    ("changed", "policy", "words"),
    [
        ({}, Policy(), None),
        ({}, Policy(runtime="runsc"), None),
        ({"OSType": "windows"}, Policy(), "Linux containers"),
        ({"SecurityOptions": ["name=apparmor"]}, Policy(), "seccomp: project code"),
        ({"SecurityOptions": None}, Policy(seccomp="{}"), "seccomp: project code"),
        ({"SecurityOptions": ["name=seccomp,profile=unconfined"]}, Policy(), "a default seccomp profile"),
        ({"SecurityOptions": ["name=seccomp,profile=unconfined"]}, Policy(seccomp="{}"), None),
        ({"SecurityOptions": ["seccomp"]}, Policy(), None),
        ({"SecurityOptions": ["name=seccomp,profile=/etc/docker/own.json"]}, Policy(), None),
        ({"MemoryLimit": False}, Policy(), "a memory limit"),
        ({"CpuCfsQuota": False}, Policy(), "a CPU limit"),
        ({"PidsLimit": False}, Policy(), "a process limit"),
        ({"PidsLimit": None}, Policy(), None),
        ({"Runtimes": None}, Policy(runtime="runsc"), "the runtime 'runsc'"),
        ({"Runtimes": {"runc": {}}}, Policy(runtime="runsc"), "the runtime 'runsc'"),
    ],
)
def test_a_missing_capability_is_reported_and_stops_the_service(changed: dict[str, Any], policy: Policy, words: str | None) -> None:
    engine = capabilities.judge({**GOOD, **changed}, policy)
    if words is None:
        assert engine.missing == ()
        capabilities.require(engine, policy)
        return
    [missing] = engine.missing
    assert missing.text.startswith(words)
    with pytest.raises(ConfigurationError) as caught:
        capabilities.require(engine, policy)
    assert words in caught.value.user_text
    assert "FRESHET_ISOLATION=available" in caught.value.user_text
    assert missing.remedy in caught.value.user_text


def test_a_policy_that_is_not_strict_reports_a_missing_capability_and_goes_on() -> None:
    policy = Policy(strict=False)
    engine = capabilities.judge({**GOOD, "MemoryLimit": False}, policy)
    capabilities.require(engine, policy)
    assert "MISSING a memory limit: one project can use up the host's memory" in engine.line()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "isolation: complete"),
        ({"ServerVersion": "20.10.24+dfsg1"}, "blocks vsock"),
        ({"ServerVersion": "28.2.2"}, "isolation: complete"),
        ({"ServerVersion": "4.9.3"}, "isolation: complete"),
        ({"SwapLimit": False}, "isolation: everything required (recommended, but missing: a swap limit)"),
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=userns"]}, "missing: AppArmor or SELinux"),
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=selinux", "name=rootless"]}, "isolation: complete"),
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=selinux"]}, "missing: a user namespace"),
    ],
)
def test_a_missing_recommendation_is_reported_and_stops_nothing(changed: dict[str, Any], words: str) -> None:
    engine = capabilities.judge({**GOOD, **changed}, Policy())
    capabilities.require(engine, Policy())
    assert words in engine.line()


def test_an_engine_without_a_report_is_not_trusted() -> None:
    assert capabilities.judge({}, Policy()).missing != ()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in config.Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def test_strict_is_the_default(environment: pytest.MonkeyPatch) -> None:
    settings = config.read()
    assert (settings.freshet_isolation, settings.freshet_container_runtime, settings.seccomp_profile) == ("strict", None, None)
    environment.setenv("FRESHET_ISOLATION", "available")
    environment.setenv("FRESHET_CONTAINER_RUNTIME", "runsc")
    assert (config.read().freshet_isolation, config.read().freshet_container_runtime) == ("available", "runsc")


@pytest.mark.parametrize(
    ("name", "value"),
    [("FRESHET_ISOLATION", "none"), ("FRESHET_CONTAINER_RUNTIME", "--privileged"), ("FRESHET_SECCOMP", "unconfined")],
)
def test_no_setting_removes_the_isolation(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        config.read()


def test_a_seccomp_profile_is_read_from_its_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}, indent=2))
    environment.setenv("FRESHET_SECCOMP", str(path))
    assert config.read().seccomp_profile == '{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}'


@pytest.mark.parametrize("text", [None, "{", "[]", '{"defaultAction": "SCMP_ACT_ALLOW"}', "{}"])
def test_a_seccomp_profile_that_allows_everything_is_rejected(environment: pytest.MonkeyPatch, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "profile.json"
    if text is not None:
        path.write_text(text)
    environment.setenv("FRESHET_SECCOMP", str(path))
    with pytest.raises(ConfigurationError, match="FRESHET_SECCOMP"):
        _ = config.read().seccomp_profile


def rows() -> list[list[str]]:
    lines = (ROOT / "docs/security.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in cells if row[0] not in {"threat", "variable"}]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_every_threat_has_a_defence_and_tests_that_exist(row: list[str]) -> None:
    _, defence, tests = row
    assert defence
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests)
    assert named
    for path, name in named:
        functions = {node.name for node in source.nodes(ROOT / path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in functions, f"{path}::{name}"
