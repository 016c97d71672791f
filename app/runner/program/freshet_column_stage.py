"""Finds the columns of all models, in processes of its own, and writes the columns document.

It begins as soon as dbt has the manifest in memory, as a copy of that process, which meanwhile writes the manifest and the state. This copy
never looks at SQL: it starts others as copies of itself, and limits what each node costs.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import freshet_column_progress
import freshet_manifest_json
import freshet_result
import freshet_tree

if TYPE_CHECKING:
    from freshet_column_child import Task
    from freshet_placeholders import Placeholders

LIBRARY = os.environ.get("FRESHET_LIBRARY", "/opt/freshet/lib")
PREVIOUS = os.path.join(freshet_tree.WORK, "columns")
WORK, DOCUMENT = PREVIOUS + ".work", PREVIOUS + ".new"
MAX_CPU_S = {"start": 60.0, "render": 5.0, "again": 5.0, "engine": 2.0, "decide": 2.0, "carry": 20.0, "write": 20.0}
MAX_WALL_S = 20.0
"""How long one step may take, on a machine that does other things at the same time."""
PATIENT = ("start", "carry", "write")
MAX_TOTAL_S, PER_NODE_S = 60.0, 0.05
MAX_STARTS = 50
LOOK_S = 0.05
HEADROOM = 0.85
MIN_HEADROOM = 128 << 20
TICKS = os.sysconf("SC_CLK_TCK")
MEMORY_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
REASONS = {
    "render": "Rendering it took too long",
    "again": "Rendering it took too long",
    "engine": "Its SQL took too long to analyse",
    "carry": "Carrying columns to sources took too long",
}
TOTAL = "Finding the columns of the other nodes has used up the time for this project."


class StageError(Exception):
    """Why there is no document."""


def load(adapter_type: str | None = None) -> None:
    """Import the engine, and everything else that the stage needs; for an adapter, its dialect too."""
    if LIBRARY not in sys.path:
        sys.path.insert(0, LIBRARY)
    import freshet_column_child  # noqa: F401, PLC0415 - needs the library
    import freshet_columns  # noqa: PLC0415

    if adapter_type is not None:
        with suppress(ImportError, AttributeError):
            # dbt's compiler needs it.
            importlib.import_module("sqlparse.lexer").Lexer.get_default_instance()
        freshet_columns.output_names("select 1", freshet_columns.DIALECTS.get(adapter_type, ""))


class BegunColumns(NamedTuple):
    """The process that finds the columns, and the pipe to which it writes what that took."""

    pid: int
    pipe: int


BEGUN = []  # type: list[BegunColumns]


def expect(placeholders: Placeholders) -> None:
    """Begin as soon as dbt has a manifest."""
    freshet_manifest_json.WITH_DIGESTS[:] = [lambda: _begin(placeholders)]


def stop() -> None:
    """Stop what has begun."""
    for stage in BEGUN:
        os.kill(stage.pid, signal.SIGTERM)
        os.waitpid(stage.pid, 0)
        os.close(stage.pipe)
    BEGUN.clear()


def run(results: BinaryIO, placeholders: Placeholders) -> None:
    """Wait for the document, and write it to the results, or why there is none."""
    if not BEGUN:
        _begin(placeholders)
    [stage] = BEGUN
    BEGUN.clear()
    with os.fdopen(stage.pipe, "rb") as pipe:
        text = pipe.read()
    os.waitpid(stage.pid, 0)
    facts = json.loads(text) if text else {"error": "The process that finds the columns has ended."}
    freshet_result.write_columns(results, DOCUMENT if facts["error"] is None else None, facts)


def _begin(placeholders: Placeholders) -> None:
    stop()
    load()
    gc.freeze()
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        try:
            os.close(read)
            freshet_column_progress.prepare(freshet_column_progress.LIMITING)
            signal.signal(signal.SIGTERM, lambda *_: sys.exit())
            os.write(write, json.dumps(_facts(placeholders)).encode())
        finally:
            os._exit(0)
    os.close(write)
    BEGUN.append(BegunColumns(pid, read))


def _facts(placeholders: Placeholders) -> dict:
    """Find the columns; return what that took, and the reason if there is no document."""
    since, cpu = time.monotonic(), freshet_result.cpu_seconds()
    error = None  # type: str | None
    try:
        # As after the parse, whatever it is given for names without a value.
        placeholders.end_mode()
        supervisor = Supervisor(placeholders)
        while not supervisor.is_done:
            supervisor.next_child()
    except StageError as reason:
        error = str(reason)
    except Exception as surprise:  # noqa: BLE001 - the manifest is delivered: nothing may fail now
        traceback.print_exc()
        error = f"{type(surprise).__name__}: {surprise}"
    return {"seconds": time.monotonic() - since, "cpu_seconds": freshet_result.cpu_seconds() - cpu, "error": error}


class Supervisor:
    """Starts processes, one after the other, until the document is there."""

    def __init__(self, placeholders: Placeholders) -> None:
        import freshet_node_parsing  # noqa: PLC0415 - imports dbt

        self._manifest, self._config = freshet_node_parsing.PARSE.made, freshet_node_parsing.PARSE.config
        if self._manifest is None or self._config is None:
            raise StageError("This version of dbt is not one that Freshet can render with.")
        self._given = placeholders.given
        self._budget_s = max(MAX_TOTAL_S, PER_NODE_S * len(self._manifest.nodes))
        self._skip = {}  # type: dict[str, dict[str, str]]
        self._stop = None  # type: str | None
        self._starts = 0
        self._spent_s = 0.0
        self.is_done = False
        for path in (WORK, DOCUMENT):
            with suppress(FileNotFoundError):
                os.unlink(path)

    def next_child(self) -> None:
        """Start a process, and wait for its end. Raises StageError if there is no sense in another one."""
        self._starts += 1
        if self._starts > MAX_STARTS:
            if self._stop is not None:
                raise StageError("Finding the columns has failed again and again.")
            self._stop, self._starts = "Too many of the other nodes have failed.", MAX_STARTS - 5
        child = _Child(self._task())
        try:
            why = self._watch(child)
        finally:
            cpu_s = child.end()
        self._spent_s += cpu_s
        self.is_done = why is None
        if why is not None:
            self._note(child, why)
            _cut_last_line(WORK)

    def _task(self) -> Task:
        from freshet_column_child import Task  # noqa: PLC0415 - needs the library

        return Task(self._manifest, self._config, self._given, PREVIOUS, WORK, DOCUMENT, self._skip, self._stop)

    def _watch(self, child: _Child) -> str | None:
        """Wait until the process has ended or costs too much; return what is wrong, None if nothing."""
        while child.listen():
            if child.ended is not None:
                return None if child.ended == "done" else child.ended
            if self._stop is None and self._spent_s + child.cpu_s() > self._budget_s:
                self._stop = TOTAL
                return "total"
            if child.is_over_limit():
                return "time"
        return "died"

    def _note(self, child: _Child, why: str) -> None:
        """Make sure that the next process does not fail in the same way."""
        if why == "total":
            return
        phase, unique_id = child.phase, child.unique_id
        if phase in ("start", "write") or (phase == "carry" and "carry" in self._skip.get("", {})):
            raise StageError(f"Finding the columns failed at its {phase}: {child.said if why == 'error' else why}")
        known = self._skip.setdefault(unique_id, {})
        if phase in known:
            raise StageError("Finding the columns failed twice at the same place.")
        known[phase] = _reason(phase, why, child)


class _Child:
    """A process that works, in a process group with those that it starts."""

    def __init__(self, task: Task) -> None:
        import freshet_column_child  # noqa: PLC0415 - needs the library

        self.phase, self.unique_id = freshet_column_progress.START, ""
        self.said = ""
        self.ended = None  # type: str | None
        self._step = 0
        self._at_s = 0.0  # CPU time of the process when the phase began
        self._since = time.monotonic()
        headroom = _headroom()
        self._progress = freshet_column_progress.ColumnProgress(list(task.manifest.nodes))
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setpgid(0, 0)
                self._progress.is_written_here()
                _silence()
                _limit_memory(headroom)
                freshet_column_child.run(task, self._progress)
            finally:
                os._exit(1)
        with suppress(OSError):
            # Whoever of the two is first.
            os.setpgid(self.pid, self.pid)
        self._progress.is_read_here()

    def listen(self) -> bool:
        """Look for a moment what the process does and says; False if it has ended."""
        said = self._progress.listen(LOOK_S)
        step, phase, at_s, unique_id = self._progress.place()
        if step > self._step:
            self._step, self.phase, self._at_s, self.unique_id = step, phase, at_s, unique_id
            self._since = time.monotonic()
        if said:
            self.ended, self.said = said
        return said is not None

    def is_over_limit(self) -> bool:
        """Whether the current step has taken too long."""
        wall_s = MAX_WALL_S * (6 if self.phase in PATIENT else 1)
        return self.cpu_s() - self._at_s > MAX_CPU_S.get(self.phase, MAX_WALL_S) or time.monotonic() - self._since > wall_s

    def cpu_s(self) -> float:
        """The process's CPU seconds, without those of its helpers."""
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def end(self) -> float:
        """End the process and its helpers, and return its CPU seconds."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        cpu_s = self.cpu_s()
        os.waitpid(self.pid, 0)
        self._progress.close()
        return cpu_s


def _reason(phase: str, why: str, child: _Child) -> str:
    if why == "time":
        return f"{REASONS.get(phase, 'It took too long')}: more than {MAX_CPU_S.get(phase, MAX_WALL_S):g} seconds."
    what = "analysing its SQL" if phase == "engine" else "rendering it"
    if why == "memory":
        return f"There was not enough memory for {what}."
    return f"The process ended while it was {what}." if why == "died" else f"{what[0].upper()}{what[1:]} failed: {child.said}"


def _silence() -> None:
    """What macros print while they are rendered is no part of the log of the parse."""
    silence = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(silence, number)


def _headroom() -> int | None:
    """The bytes that the container may still use."""
    for limit, used in MEMORY_FILES:
        try:
            with open(limit) as file, open(used) as other:
                return int(file.read()) - int(other.read())
        except (OSError, ValueError):
            continue
    return None


def _limit_memory(headroom: int | None) -> None:
    """Let Python fail with MemoryError before the kernel ends some process."""
    if headroom is None:
        return
    with open("/proc/self/status") as file:
        now = next(int(line.split()[1]) << 10 for line in file if line.startswith("VmData"))
    most = now + max(int(headroom * HEADROOM), MIN_HEADROOM)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _cut_last_line(path: str) -> None:
    """Remove what a killed process has not finished."""
    with suppress(FileNotFoundError), open(path, "rb+") as file:
        file.truncate(file.read().rfind(b"\n") + 1)
