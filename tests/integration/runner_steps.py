"""Many parses by the runner's own code in one process of one container, to compare results with and without a state."""

from __future__ import annotations

import asyncio
import base64
import json
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from app.core.models.other_projects import PublicModel
from app.lineage.manifest import decode
from app.lineage.nodes import build
from app.runner.profile import stub
from tests.engine.forks import RUNNER
from tests.integration.runner_images import RUNNER_IMAGE

DRIVER = """
import base64, io, json, os, shutil, sys, tarfile, time
sys.path.insert(0, os.environ.get("RUNNER", "/opt/freshet/runner"))
import freshet_result
results = freshet_result.claim_stdout()
import freshet_warm, freshet_dbt, freshet_flags, freshet_placeholders, freshet_node_parsing, freshet_node_workers, freshet_tree
freshet_warm.warm(json.loads(sys.stdin.readline()))
placeholders = freshet_placeholders.Placeholders("")
placeholders.install()
start, write, started = freshet_node_workers.Workers.start, freshet_node_workers._write, []
def counted(workers, *args):
    start(workers, *args)
    started.append(len(workers._workers))
freshet_node_workers.Workers.start = counted
def halfway(file, _value):
    os.write(file, b"1234")
    os._exit(1)
BAD = {"die": lambda *_: os._exit(1), "hang": lambda *_: time.sleep(1000), "stop halfway": halfway}
for line in sys.stdin:
    step = json.loads(line)
    freshet_warm._forget()
    placeholders.forget()
    placeholders._uses = None
    tree = io.BytesIO()
    with tarfile.open(fileobj=tree, mode="w") as tar:
        members = {"src/" + path: text.encode() for path, text in step["files"].items()}
        if step["state"] is not None:
            members["state"] = base64.b64decode(step["state"])
        for path, data in members.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    tree.seek(0)
    freshet_tree.Tree().unpack(tree)
    facts, manifest, state = {}, b"", b""
    started.clear()
    freshet_node_workers._write = BAD.get(step["workers"], write)
    try:
        freshet_dbt.invoke("parse", step["job"], facts, placeholders)
        manifest = open(os.path.join(freshet_dbt.TARGET, "manifest.json"), "rb").read()
        facts["placeholders"] = placeholders.records(failed=False)
        facts["partial"] = freshet_dbt.PARTIAL
        facts["parsed"] = sorted(freshet_node_parsing.PARSE.memory.names)
        new = freshet_node_parsing.PARSE.memory.write()
        state = open(new, "rb").read() if new else b""
    except freshet_dbt.DbtFailedError as error:
        facts["error"] = str(error)
        facts["placeholders"] = placeholders.records(failed=True)
    facts["ignored"] = freshet_flags.IGNORED
    facts["workers"] = sum(started)
    results.write(json.dumps({**facts, "manifest": len(manifest), "state": len(state)}).encode() + b"\\n" + manifest + state)
    results.flush()
"""


@dataclass(frozen=True)
class Parsed:
    """The runner's answer: a manifest, or an error."""

    manifest: bytes
    error: str | None
    placeholders: list[dict[str, Any]]
    partial: bool
    state: bytes | None
    seconds: float
    ignored: list[dict[str, str]]
    nodes: list[str]
    """Names of the nodes that were parsed; the others were as in the state."""
    workers: int
    """How many processes have helped."""


def told(parsed: Parsed) -> object:
    """Everything in a result that is used."""
    return parsed.error or build(decode(parsed.manifest)), parsed.placeholders


class Steps:
    """One container."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def say(self, line: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        await self._process.stdin.drain()

    async def parse(
        self,
        files: Mapping[str, str],
        state: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        workers: Literal["help", "die", "hang", "stop halfway"] = "help",
        external: Sequence[PublicModel] = (),
    ) -> Parsed:
        """Parse a project, with a state if there is one; `workers` that may help do what the word says. `external`: of other projects."""
        assert self._process.stdout is not None
        job = {"command": "parse", "project_dir": "", "profile": "shop", "target": "dev", "keep_state": True}
        facts: dict[str, Any] = {"profiles": stub("shop", "dev", "duckdb"), "variables": {}, "environment": environment or {}}
        facts["external_nodes"] = [asdict(model) for model in external]
        encoded = None if state is None else base64.b64encode(state).decode()
        await self.say({"files": files, "job": {**job, **facts}, "state": encoded, "workers": workers})
        header = json.loads(await self._process.stdout.readline())
        manifest = await self._process.stdout.readexactly(header["manifest"])
        new = await self._process.stdout.readexactly(header["state"])
        error = header.get("error")
        return Parsed(
            manifest,
            error,
            header["placeholders"],
            header.get("partial", False),
            new or None,
            header["parse"],
            header["ignored"],
            header.get("parsed", []),
            header["workers"],
        )


@asynccontextmanager
async def steps(image: str = RUNNER_IMAGE, cpus: int = 2, program: Path | None = None) -> AsyncIterator[Steps]:
    """Yield a warm container, isolated like those of the service; `program` takes the place of the image's."""
    walls = [f"--cpus={cpus}", "--network=none", "--read-only", "--cap-drop=ALL", "--tmpfs=/work:mode=1777", "--tmpfs=/tmp:mode=1777"]
    walls += [] if program is None else [f"--volume={program.resolve()}:{RUNNER}:ro"]
    command = ["docker", "run", "--rm", "--interactive", *walls, "--entrypoint=/opt/dbt/bin/python", image, "-s", "-c", DRIVER]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=1 << 24)
    try:
        found = Steps(process)
        profiles = stub("freshet", "freshet", "duckdb")
        await found.say({"adapter_type": "duckdb", "profile": "freshet", "target": "freshet", "profiles": profiles})
        yield found
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
