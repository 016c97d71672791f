"""Runs inside a container of a runner image: imports dbt once, then forks the image's own program for each job, one after the other.

Both ways frames: a byte that says what, four that say how long, and the data. In: `S` starts a job, `I` is its standard input, `C` closes
that, `K` kills it. Out: `R` is ready, `1` and `2` are what the job wrote there, `E` is its exit status.
"""

from __future__ import annotations

import json
import os
import runpy
import selectors
import shutil
import signal
import struct
import sys
import traceback
from contextlib import suppress

RUNNER = "/opt/freshet/runner"
DIRECTORIES = ("/work", "/tmp", "/dev/shm")  # noqa: S108 - the container's
LOOK_S = 0.05
HEAD = struct.Struct(">cI")


class Job:
    """A fork of this process that runs the program of the image, like the first process of a container."""

    def __init__(self, results) -> None:
        self.results = results
        pipes = [os.pipe() for _ in range(3)]
        self.others = _processes()
        self.child = os.fork()
        if not self.child:
            _become([pipes[0][0], pipes[1][1], pipes[2][1]], [results.fileno(), pipes[0][1], pipes[1][0], pipes[2][0]])
        for end in (pipes[0][0], pipes[1][1], pipes[2][1]):
            os.close(end)
        self.stdin = pipes[0][1]
        self.pending = bytearray()
        self.closing = False
        self.looking = selectors.DefaultSelector()
        self.looking.register(0, selectors.EVENT_READ)
        for name, end in ((b"1", pipes[1][0]), (b"2", pipes[2][0])):
            self.looking.register(end, selectors.EVENT_READ, name)
        os.set_blocking(self.stdin, False)

    def run(self) -> int:
        """Pass on what it reads and writes until it has ended, and everything that it has started with it; return its exit status."""
        status = None
        while status is None or len(self.looking.get_map()) > 1:
            for key, _ in self.looking.select(LOOK_S if status is None else None):
                if key.fd == 0:
                    self._obey()
                elif key.data:
                    self._read(key)
                elif key.fd == self.stdin:
                    # Else it was closed since.
                    self._write()
            if status is None:
                status = self._ended()
        self.looking.close()
        return status

    def _obey(self) -> None:
        kind, data = receive()
        if kind == b"K":
            _kill(_processes() - self.others)
        elif self.stdin is not None:
            self.pending += data
            self.closing = self.closing or kind == b"C"
            self._write()

    def _write(self) -> None:
        try:
            while self.pending:
                del self.pending[: os.write(self.stdin, self.pending)]
        except BlockingIOError:
            if self.stdin not in self.looking.get_map():
                self.looking.register(self.stdin, selectors.EVENT_WRITE)
            return
        except OSError:
            self.closing = True
        if self.stdin in self.looking.get_map():
            self.looking.unregister(self.stdin)
        if self.closing:
            self._close_stdin()

    def _close_stdin(self) -> None:
        if self.stdin is not None:
            if self.stdin in self.looking.get_map():
                self.looking.unregister(self.stdin)
            os.close(self.stdin)
            self.stdin = None

    def _read(self, key: selectors.SelectorKey) -> None:
        data = os.read(key.fd, 1 << 16)
        if data:
            send(self.results, key.data, data)
        else:
            self.looking.unregister(key.fd)
            os.close(key.fd)

    def _ended(self) -> int | None:
        child, status = os.waitpid(self.child, os.WNOHANG)
        if not child:
            return None
        while left := _processes() - self.others:
            _kill(left)
            _reap(left)
        self._close_stdin()
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def main() -> None:
    """Serve until standard input ends."""
    warm = json.loads(os.environ.pop("WARM"))
    sys.path.insert(0, RUNNER)
    import freshet_result  # noqa: PLC0415 - the image's

    results = freshet_result.claim_stdout()
    import freshet_warm  # noqa: PLC0415 - imports dbt

    freshet_warm.warm(warm)
    send(results, b"R")
    while True:
        if receive()[0] == b"S":
            status = Job(results).run()
            _tidy()
            send(results, b"E", str(status).encode())


def send(results, kind: bytes, data: bytes = b"") -> None:
    """Write a frame."""
    results.write(HEAD.pack(kind, len(data)) + data)
    results.flush()


def receive() -> tuple:
    """Read a frame; the end of standard input ends all."""
    kind, length = HEAD.unpack(_exactly(HEAD.size))
    return kind, _exactly(length)


def _exactly(length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = os.read(0, length - len(data))
        if not part:
            os._exit(0)
        data += part
    return bytes(data)


def _become(ends: list, closed: list) -> None:
    """Be the program of the image, with the standard streams of the job."""
    for number, end in enumerate(ends):
        os.dup2(end, number)
    for end in {*ends, *closed}:
        os.close(end)
    status = 1
    try:
        runpy.run_path(RUNNER, run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it is, it is the job's
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(status)


def _processes() -> set:
    return {int(name) for name in os.listdir("/proc") if name.isdecimal()}


def _kill(numbers: set) -> None:
    for number in numbers:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def _reap(numbers: set) -> None:
    """This is the first process of its container, so it inherits what others leave behind."""
    for number in numbers:
        with suppress(ChildProcessError):
            os.waitpid(number, os.WNOHANG)


def _tidy() -> None:
    for directory in DIRECTORIES:
        for entry in os.scandir(directory):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


main()
