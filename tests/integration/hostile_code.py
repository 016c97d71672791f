"""A runner image that runs the project's `attack.py` instead of dbt, like an attacker who has escaped from dbt's Jinja."""

from __future__ import annotations

import textwrap
from collections.abc import AsyncIterator
from typing import Any

import aiodocker

from app.pipeline.ports import Parsed
from app.runner.backend import ContainerRunner
from app.runner.docker.backend import DockerRunner
from tests.integration.runner_fixtures import Make
from tests.integration.runner_images import HEARS, build_runner
from tests.integration.runner_projects import entry, job

RUNS_WHAT_IT_IS_GIVEN = (
    HEARS
    + r"""
import ctypes, errno, fcntl, os, resource, signal, socket, time
told = hear()
if "warm" in told:
    answer(ready=True)
    told = hear()
answer(taken=True)
archive = tarfile.open(fileobj=sys.stdin.buffer, mode="r|")
code = ""
while (member := archive.next()):
    if member.name == "src/attack.py":
        code = archive.extractfile(member).read()
    archive.members = []

def say(manifest=b"{}", **more):
    manifest = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    header = {"ok": True, "bytes": len(manifest), "dbt_version": "1.11.16", "stages": {}, **more}
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + manifest)
    sys.stdout.buffer.flush()

def tried(action, *arguments):
    "Return the name of the error, or what came out of it"
    try:
        return repr(action(*arguments))
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)

libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    "A system call of x86-64 or arm64"
    if libc.syscall(number, *arguments) == -1:
        raise OSError(ctypes.get_errno(), "")
    return 0
exec(compile(code, "attack.py", "exec"))
"""
)


async def hostile_runner(make: Make, docker: aiodocker.Docker, **changed: Any) -> DockerRunner:
    """A runner with small containers."""
    image = await build_runner(docker, "hostile", RUNS_WHAT_IT_IS_GIVEN)
    settings = {"image": image, "more_images": (), "cpus": 1.0, "memory_bytes": 256 << 20, "pids": 64, "timeout_s": 60.0}
    return make(**{**settings, **changed})


async def attack(runner: ContainerRunner, code: str, **changed: Any) -> Parsed:
    """Run `code`, which may be indented, in a container."""
    [image, *_] = await runner.images()
    return await runner.parse(job(image=image, **changed), _tree(textwrap.dedent(code)), None)


async def _tree(code: str) -> AsyncIterator[bytes]:
    yield entry("attack.py", code)
