"""Run the checks: `python -m tests.run [all | quick | coverage | deploy]`. Ends with a line for each lane, and one that counts them.

Lanes run side by side: many tests wait for containers and clocks, and three lanes keep two processors busy.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests import lanes, scratch
from tests.lanes import ROOT, Lane

CACHE = ROOT / ".cache"
AT_ONCE = 3
LOOK_S = 0.2
STOP_S = 60.0
SILENT_S = 600.0
"""A lane that says nothing for so long hangs: each test has a deadline of its own."""
COUNTS = re.compile(r"\b(\d+) (passed|failed|error|skipped)")
SUMMARY = re.compile(r"^\d+ (?:passed|failed|error|skipped).* in [\d.]+s.*$", re.MULTILINE)
"""The last line of pytest; what processes log at their end may follow."""
LEFT_OUT = re.compile(r"^SKIPPED \[\d+\] \S+ (.*)$", re.MULTILINE)
STACK = "the deployed stack, with its images and proxies: `make test-deploy` runs it"
NOT_RUN = {
    "quick": ("tests with containers and end to end: `make test` runs them", "coverage: `make coverage` measures it"),
    "all": ("coverage: `make coverage` measures it, with the same tests", STACK),
    "coverage": (STACK,),
    "deploy": ("everything else: `make test` runs it",),
}
CHOSEN = {"quick": lanes.without_containers, "deploy": lanes.deployed}


class Running(NamedTuple):
    """A lane that runs; its output goes to `log`."""

    lane: Lane
    process: subprocess.Popen[bytes]
    began: float
    log: Path


class Done(NamedTuple):
    """How a lane ended."""

    name: str
    failed: bool
    seconds: float
    output: str


def main(what: str = "all") -> int:
    if what not in NOT_RUN:
        print(__doc__, file=sys.stderr)
        return 2
    CACHE.mkdir(exist_ok=True)
    measured = what == "coverage"
    began = time.monotonic()
    with _environment() as environment:
        done = [*_run([lanes.STYLE, lanes.FORMAT, lanes.WORKFLOWS], environment, at_once=1)]
        done += _run(CHOSEN.get(what, lanes.everything)(), environment, measured=measured)
        if measured:
            done += _run([lanes.COMBINE, lanes.REPORT], environment, at_once=1)
    _tell(done, NOT_RUN[what], time.monotonic() - began)
    return 1 if any(one.failed for one in done) else 0


def _run(waiting: Sequence[Lane], environment: dict[str, str], *, measured: bool = False, at_once: int = AT_ONCE) -> Iterator[Done]:
    """Run lanes in their order, some at once; yield each when it has ended."""
    left, running = [*waiting], list[Running]()
    try:
        while left or running:
            while left and len(running) < at_once:
                running.append(_begin(left.pop(0), environment, measured=measured))
            for one in running:
                if time.time() - one.log.stat().st_mtime > SILENT_S:
                    _give_up(one)
            ended = [one for one in running if one.process.poll() is not None]
            running = [one for one in running if one not in ended]
            yield from map(_end, ended)
            if not ended:
                time.sleep(LOOK_S)
    finally:
        _stop(running)


def _stop(running: Sequence[Running]) -> None:
    """Interrupt lanes, which then stop what they started: databases, services, containers."""
    for one in running:
        one.process.send_signal(signal.SIGINT)
    for one in running:
        try:
            one.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            one.process.kill()
            one.process.wait()


def _give_up(one: Running) -> None:
    _stop([one])
    with one.log.open("a") as log:
        log.write(f"\nstopped: it said nothing for {SILENT_S:g} s\n")


def _begin(lane: Lane, environment: dict[str, str], *, measured: bool) -> Running:
    log = CACHE / f"{re.sub('[^a-z]+', '-', lane.name)}.log"
    print(f"== {lane.name} begins, output in {log.relative_to(ROOT)}", flush=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            lane.arguments(measured=measured), cwd=ROOT, env={**environment, **lane.variables}, stdout=output, stderr=subprocess.STDOUT
        )
    return Running(lane, process, time.monotonic(), log)


def _end(one: Running) -> Done:
    done = Done(one.lane.name, one.process.returncode != 0, time.monotonic() - one.began, one.log.read_text(errors="replace"))
    if done.failed or done.name == lanes.REPORT.name:
        print(f"== {done.name}\n{done.output}", flush=True)
    print(f"== {done.name}: {'FAILED' if done.failed else 'passed'} after {done.seconds:.0f} s", flush=True)
    return done


@contextmanager
def _environment() -> Iterator[dict[str, str]]:
    """Ours, with a place for compiled Python (the tests start the service some fifty times) and one for the files of this run."""
    ours = {**os.environ, "PYTHONWARNINGS": "", "PYTHONPYCACHEPREFIX": str(CACHE / "pycache")}
    ours.pop("PYTHONDONTWRITEBYTECODE", None)
    directory = tempfile.mkdtemp(prefix="freshet-tests-", dir=scratch.MEMORY if scratch.in_memory() else None)
    try:
        yield {**ours, "TMPDIR": directory}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _tell(done: Sequence[Done], not_run: Sequence[str], seconds: float) -> None:
    total = dict.fromkeys(("passed", "failed", "error", "skipped"), 0)
    print()
    for one in done:
        summaries = SUMMARY.findall(one.output)
        counted = {kind: int(count) for count, kind in COUNTS.findall(summaries[-1] if summaries else "")}
        total = {kind: count + counted.get(kind, 0) for kind, count in total.items()}
        words = ", ".join(f"{count} {kind}" for kind, count in counted.items())
        print(f"{'FAILED' if one.failed else 'passed'}  {one.name:20} {one.seconds:5.0f} s  {words}".rstrip())
    for reason in [*not_run, *(reason for one in done for reason in LEFT_OUT.findall(one.output))]:
        print(f"not run: {reason}")
    failed = [one.failed for one in done]
    print(f"tests: {total['passed']} passed, {total['failed'] + total['error']} failed, {total['skipped']} skipped in {seconds:.0f} s")
    print(f"checks: {failed.count(False)} passed, {failed.count(True)} failed")


if __name__ == "__main__":
    # Both stop the lanes and remove their files, also where a shell in the background has SIGINT ignored, which lanes would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(*sys.argv[1:]))
