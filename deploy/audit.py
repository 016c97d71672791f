"""Look for known vulnerabilities of the locked libraries: `python deploy/audit.py [LOCK]...`, or `make audit`.

Asks PyPI's advisories with pip-audit, of which it makes an environment of its own (deploy/audit.lock). What PyPI said is kept in
.cache/audit, so without a network the last answers count, with their dates, and what has none is named: it is not counted as fine.
Exit status: 0 nothing known, 1 vulnerabilities, 2 something could not be checked.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "audit"
LOCK = ROOT / "deploy" / "audit.lock"
LOCKS = (
    "deploy/service.lock",
    "deploy/build.lock",
    "deploy/dbt/1.11.txt",
    "deploy/dbt/columns.txt",
    "deploy/dbt/uv.txt",
    "requirements.lock",
)
"""What runs somewhere: the service, its build, the default runner image and its build; and the tests."""
PIN = re.compile(r"^([a-z0-9][\w.-]*)==([^\s;\\]+)", re.MULTILINE | re.IGNORECASE)
MAX_REASON = 200

Answers = dict[str, dict[str, Any]]
"""By `name==version`: `date`, and `found`, the ids of advisories with the versions that are fixed."""


def main(locks: Sequence[str]) -> int:
    """Audit lock files, and print a line for each and for what was found."""
    remembered = CACHE / "answers.json"
    answers: Answers = json.loads(remembered.read_text()) if remembered.exists() else {}
    new, trouble = asked(locks)
    answers |= new
    CACHE.mkdir(parents=True, exist_ok=True)
    remembered.write_text(json.dumps(answers, indent=1, sort_keys=True))
    statuses = [report(lock, pins(ROOT / lock), answers) for lock in locks]
    if trouble:
        print(f"The advisories could not be asked: {trouble}")
    return 1 if 1 in statuses else max(statuses)


def report(lock: str, pinned: Sequence[str], answers: Answers) -> int:
    """Print how a lock file is; the exit status."""
    unchecked = [pin for pin in pinned if pin not in answers]
    vulnerable = {pin: found for pin in pinned if (found := answers.get(pin, {}).get("found"))}
    dates = sorted({answers[pin]["date"] for pin in pinned if pin in answers})
    known = (
        f"{len(vulnerable)} of {len(pinned)} with known vulnerabilities"
        if vulnerable
        else f"none of {len(pinned)} with known vulnerabilities"
    )
    checked = f" (as of {dates[0]})" if dates else ""
    if len(unchecked) == len(pinned):
        print(f"NOT CHECKED  {lock}: nothing is known of its {len(pinned)} libraries")
        return 2
    rest = f"; NOT CHECKED: {len(unchecked)} of them: {', '.join(unchecked)}" if unchecked else ""
    print(f"{'VULNERABLE' if vulnerable else 'checked':12} {lock}: {known}{checked}{rest}")
    for pin, found in vulnerable.items():
        print(f"             {pin}: {', '.join(found)}")
    return 1 if vulnerable else 2 if unchecked else 0


def pins(lock: Path) -> list[str]:
    """The libraries of a lock file as `name==version`, in its order."""
    return [f"{name.lower()}=={version}" for name, version in PIN.findall(lock.read_text())]


def asked(locks: Sequence[str]) -> tuple[Answers, str]:
    """The answers that PyPI gives now, and why some are missing."""
    try:
        program = pip_audit()
    except subprocess.CalledProcessError as error:
        return {}, f"pip-audit could not be installed ({_last_line(error.stderr)})"
    answers, trouble = Answers(), ""
    for lock in locks:
        words = (str(program), "--disable-pip", "--require-hashes", "-r", str(ROOT / lock), "-f", "json", "--progress-spinner", "off")
        done = subprocess.run((*words, "--cache-dir", str(CACHE / "http")), capture_output=True, text=True, check=False)  # noqa: S603
        try:
            answers |= read(json.loads(done.stdout))
        except ValueError:
            trouble = _last_line(done.stderr)
            continue
        if skipped := [one for one in json.loads(done.stdout)["dependencies"] if "skip_reason" in one]:
            trouble = skipped[0]["skip_reason"]
    return answers, trouble


def read(report: Mapping[str, Any]) -> Answers:
    """The answers in pip-audit's JSON, without libraries that it skipped."""
    today = datetime.now(UTC).date().isoformat()
    return {
        f"{one['name'].lower()}=={one['version']}": {"date": today, "found": [_advisory(advisory) for advisory in one["vulns"]]}
        for one in report["dependencies"]
        if "skip_reason" not in one
    }


def pip_audit() -> Path:
    """The program, installed with the hashes of deploy/audit.lock if it is not there yet. Raises CalledProcessError."""
    environment, stamp = CACHE / "environment", CACHE / "installed"
    if not stamp.exists() or stamp.read_text() != LOCK.read_text():
        venv.create(environment, with_pip=True, clear=True)
        words = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "-r", str(LOCK))
        subprocess.run((str(environment / "bin" / "python"), *words), check=True, capture_output=True, text=True)  # noqa: S603
        stamp.write_text(LOCK.read_text())
    return environment / "bin" / "pip-audit"


def _advisory(advisory: Mapping[str, Any]) -> str:
    fixed = " or ".join(advisory["fix_versions"])
    return f"{advisory['id']} (fixed in {fixed})" if fixed else f"{advisory['id']} (not fixed yet)"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason was given"])[-1][:MAX_REASON]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or LOCKS))
