"""What a container is told to be, what an engine is said to lack, and that the table of threats names tests that exist."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from app import config
from app.dbt import isolation, probe
from app.dbt.isolation import Limits, Policy, Spec
from app.errors import ConfigurationError

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


def spec(**changed: Any) -> Spec:
    fields: dict[str, Any] = {"name": "n", "image": "i", "image_name": "i:1", "doing": "testing", "labels": {}}
    return Spec(**{**fields, "limits": Limits(1.5, 512 << 20, 60.0, 64), **changed})


def test_nothing_of_the_host_is_handed_in() -> None:
    body = isolation.config(spec())
    host = body["HostConfig"]
    assert body["Env"] == []
    assert (body["User"], body["Hostname"]) == ("10001:10001", "dbt")
    handed = {"Binds", "Mounts", "VolumesFrom", "Devices", "DeviceRequests", "CapAdd", "ExtraHosts", "Links", "Sysctls", "PortBindings"}
    # The defaults of the engine: shared namespaces, open paths and unconfined profiles are only ever had by asking.
    shared = {"PidMode", "UTSMode", "UsernsMode", "MaskedPaths", "ReadonlyPaths", "CgroupParent", "GroupAdd", "OomKillDisable"}
    assert not (handed | shared) & host.keys()
    assert (host["Privileged"], host["ReadonlyRootfs"], host["CapDrop"]) == (False, True, ["ALL"])
    assert (host["NetworkMode"], host["IpcMode"], host["CgroupnsMode"]) == ("none", "private", "private")
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert "Runtime" not in host


def test_everything_that_a_container_can_take_is_bounded() -> None:
    host = isolation.config(spec())["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 512 << 20
    assert (host["NanoCpus"], host["PidsLimit"], host["OomScoreAdj"]) == (1_500_000_000, 64, 1000)
    assert {limit["Name"]: limit["Hard"] for limit in host["Ulimits"]} == {"core": 0, "nofile": 4096, "fsize": 512 << 20, "msgqueue": 0}
    sizes = [int(value) for options in host["Tmpfs"].values() for value in re.findall(r"\bsize=(\d+)", options)]
    assert sum(sizes) <= host["Memory"]
    assert all({"nosuid", "nodev", "noexec"} <= {*options.split(",")} and "nr_inodes=" in options for options in host["Tmpfs"].values())


def test_names_are_only_resolved_on_a_network_of_the_operator() -> None:
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
        ({"SecurityOptions": ["name=apparmor"]}, Policy(), "seccomp: any system call"),
        ({"SecurityOptions": None}, Policy(seccomp="{}"), "seccomp: any system call"),
        ({"SecurityOptions": ["name=seccomp,profile=unconfined"]}, Policy(), "a default seccomp profile"),
        ({"SecurityOptions": ["name=seccomp,profile=unconfined"]}, Policy(seccomp="{}"), None),
        ({"SecurityOptions": ["seccomp"]}, Policy(), None),
        ({"SecurityOptions": ["name=seccomp,profile=/etc/docker/own.json"]}, Policy(), None),
        ({"MemoryLimit": False}, Policy(), "a memory limit"),
        ({"CpuCfsQuota": False}, Policy(), "a CPU limit"),
        ({"PidsLimit": False}, Policy(), "a limit of processes"),
        ({"PidsLimit": None}, Policy(), None),
        ({"Runtimes": None}, Policy(runtime="runsc"), "the runtime 'runsc'"),
        ({"Runtimes": {"runc": {}}}, Policy(runtime="runsc"), "the runtime 'runsc'"),
    ],
)
def test_what_an_engine_lacks_is_said_and_stops(changed: dict[str, Any], policy: Policy, words: str | None) -> None:
    engine = probe.judge({**GOOD, **changed}, policy)
    if words is None:
        assert engine.missing == ()
        probe.require(engine, policy)
        return
    [lack] = engine.missing
    assert lack.text.startswith(words)
    with pytest.raises(ConfigurationError) as caught:
        probe.require(engine, policy)
    assert words in caught.value.user_text
    assert "FRESHET_ISOLATION=available" in caught.value.user_text
    assert lack.remedy in caught.value.user_text


def test_who_wants_to_go_on_without_is_told_and_let() -> None:
    policy = Policy(strict=False)
    engine = probe.judge({**GOOD, "MemoryLimit": False}, policy)
    probe.require(engine, policy)
    assert "MISSING a memory limit: one project can take all of the host's" in engine.line()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "isolation: complete"),
        ({"ServerVersion": "20.10.24+dfsg1"}, "keeps containers from vsock"),
        ({"ServerVersion": "28.2.2"}, "isolation: complete"),
        ({"ServerVersion": "4.9.3"}, "isolation: complete"),
        ({"SwapLimit": False}, "isolation: all that is needed (not there: a limit of swap)"),
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=userns"]}, "not there: AppArmor or SELinux"),
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=selinux", "name=rootless"]}, "isolation: complete"),
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=selinux"]}, "not there: a user namespace"),
    ],
)
def test_walls_that_would_be_good_to_have_stop_nothing(changed: dict[str, Any], words: str) -> None:
    engine = probe.judge({**GOOD, **changed}, Policy())
    probe.require(engine, Policy())
    assert words in engine.line()


def test_an_engine_that_says_nothing_of_itself_is_not_trusted() -> None:
    assert probe.judge({}, Policy()).missing != ()


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
def test_no_setting_takes_the_walls_away(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        config.read()


def test_a_profile_is_read_from_its_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}, indent=2))
    environment.setenv("FRESHET_SECCOMP", str(path))
    assert config.read().seccomp_profile == '{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}'


@pytest.mark.parametrize("text", [None, "{", "[]", '{"defaultAction": "SCMP_ACT_ALLOW"}', "{}"])
def test_a_profile_that_confines_nothing_is_refused(environment: pytest.MonkeyPatch, tmp_path: Path, text: str | None) -> None:
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
        functions = {
            node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in functions, f"{path}::{name}"
