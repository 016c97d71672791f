"""What is known of the locked libraries: hashes, the bill of materials, and audits that never call unchecked what was not checked."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import audit, sbom
from tests.service import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = [
    *sorted(ROOT.glob("deploy/*.lock")),
    *sorted(set(ROOT.glob("deploy/dbt/*.txt")) - {ROOT / "deploy/dbt/overrides.txt"}),
    ROOT / "requirements.lock",
]
REQUIREMENT = re.compile(r"^([a-z0-9][\w.-]*)(\[[\w,-]+\])?==[^\s;\\]+", re.IGNORECASE)
LOCK = "known==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\nother==2.0 \\\n    --hash=sha256:" + "1" * 64 + "\n"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(ROOT)))
def test_every_library_of_a_lock_has_its_version_and_hashes(lock: Path) -> None:
    text = lock.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not REQUIREMENT.match(line) or "--hash=sha256:" not in line] == []


def test_images_install_nothing_without_hashes() -> None:
    for name in ("Dockerfile.dbt", "deploy/Dockerfile"):
        text = (ROOT / name).read_text().replace("\\\n", " ")
        installs = [line for part in text.split(";") for line in part.splitlines() if re.search(r"(pip|uv pip)\b.* install ", line)]
        assert installs
        hashed = ("--require-hashes", '"$hashes"', "--no-index /build/wheel")
        assert [line for line in installs if not any(word in line for word in hashed)] == []


def test_versions_of_the_service_are_those_of_the_project() -> None:
    version = PROJECT["version"]
    assert f"ARG VERSION={version}\n" in (ROOT / "deploy" / "Dockerfile").read_text()
    compose = yaml.safe_load((ROOT / "deploy" / "compose" / "compose.yaml").read_text())
    assert compose["services"]["freshet"]["image"] == f"${{SERVICE_IMAGE:-freshet:{version}}}"
    kustomization = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "kustomization.yaml").read_text())
    assert str(kustomization["images"][0]["newTag"]) == version


def test_the_bill_of_materials_has_every_library_of_the_lock_with_its_hashes() -> None:
    text = sbom.LOCK.read_text()
    bill = sbom.bill(text, PROJECT)
    assert [f"{one['name']}=={one['version']}" for one in bill["components"]] == audit.pins(sbom.LOCK)
    hashes = [found["content"] for one in bill["components"] for found in one["externalReferences"][0]["hashes"]]
    assert sorted(hashes) == sorted(re.findall(r"sha256:([0-9a-f]{64})", text))
    references = {one["bom-ref"] for one in bill["components"]}
    assert len(references) == len(bill["components"])
    assert {*bill["dependencies"][0]["dependsOn"]} == references
    assert json.dumps(bill) == json.dumps(sbom.bill(text, PROJECT)), "the same lock, the same bytes"


@pytest.fixture
def report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[dict[str, Any]], tuple[int, str]]:
    (tmp_path / "some.lock").write_text(LOCK)

    def made(answers: dict[str, Any]) -> tuple[int, str]:
        status = audit.report("some.lock", audit.pins(tmp_path / "some.lock"), answers)
        return status, capsys.readouterr().out

    return made


def answer(*found: str) -> dict[str, Any]:
    return {"date": "2026-11-30", "found": [*found]}


def test_what_could_not_be_checked_is_not_called_fine(report: Callable[[dict[str, Any]], tuple[int, str]]) -> None:
    assert report({}) == (2, "NOT CHECKED  some.lock: nothing is known of its 2 libraries\n")
    status, told = report({"known==1.0": answer()})
    assert (status, "NOT CHECKED: 1 of them: other==2.0" in told) == (2, True)
    status, told = report({"known==0.9": answer(), "other==2.0": answer()})
    assert (status, "known==1.0" in told) == (2, True), "an answer about another version is none"


def test_vulnerable_libraries_are_named_with_their_fix(report: Callable[[dict[str, Any]], tuple[int, str]]) -> None:
    status, told = report({"known==1.0": answer("PYSEC-2026-1 (fixed in 1.1)"), "other==2.0": answer()})
    assert (status, "known==1.0: PYSEC-2026-1 (fixed in 1.1)" in told) == (1, True)
    assert report({"known==1.0": answer(), "other==2.0": answer()})[0] == 0


def test_libraries_that_the_advisories_do_not_know_have_no_answer() -> None:
    advisory = {"id": "PYSEC-2026-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}
    skipped = {"name": "other", "skip_reason": "Dependency not found on PyPI and could not be audited: other (2.0)"}
    answers = audit.read({"dependencies": [{"name": "Known", "version": "1.0", "vulns": [advisory]}, skipped], "fixes": []})
    assert {pin: one["found"] for pin, one in answers.items()} == {"known==1.0": ["PYSEC-2026-1 (fixed in 1.1)"]}
