"""Images for tests, based on the runner image: runners that misbehave in ways that are rare in reality."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Any

import aiodocker

from app.project.runner_images import RunnerImage

RUNNER_IMAGE = "dbt-runner:latest"
REPOSITORY = "freshet-test"

HEARS = """
import json, sys, tarfile
def answer(**line):
    sys.stdout.buffer.write(json.dumps(line).encode() + b"\\n")
    sys.stdout.buffer.flush()
def hear():
    line = json.loads(sys.stdin.buffer.readline() or "null")
    if line is None:
        sys.exit()
    return line
"""
"""The start of a runner that can read and answer lines of the protocol."""
SPEAKS = (
    HEARS
    + """
told = hear()
if "warm" in told:
    answer(ready=True)
    told = hear()
answer(taken=True)
archive = tarfile.open(fileobj=sys.stdin.buffer, mode="r|")
while archive.next():
    archive.members = []
def say(manifest, **more):
    header = {"ok": True, "bytes": len(manifest), "dbt_version": "1.11.16", "stages": {}, **more}
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\\n" + manifest)
    sys.stdout.buffer.flush()
"""
)
"""The start of a runner that reads its whole job, and can write a result with `say`."""


def named(name: str, dbt_version: str = "1.11") -> RunnerImage:
    """An image by its name, which the engine accepts as an id."""
    return RunnerImage(name, name, dbt_version, frozenset({"duckdb", "postgres"}))


async def build_image(docker: aiodocker.Docker, tag: str, dockerfile: str, files: Mapping[str, str | bytes] | None = None) -> str:
    """Build an image from a Dockerfile and the files it copies; return its full name, `freshet-test:TAG`."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, content in {"Dockerfile": dockerfile, **(files or {})}.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    context.seek(0)
    name = f"{REPOSITORY}:{tag}"
    lines: list[dict[str, Any]] = await docker.images.build(fileobj=context, encoding="identity", tag=name, rm=True, forcerm=True)
    errors = [line["error"] for line in lines if "error" in line]
    assert not errors, errors
    return name


async def build_runner(docker: aiodocker.Docker, tag: str, program: str, labels: Mapping[str, str] | None = None) -> str:
    """Build an image like the runner image, including labels, but with `program` (Python) in place of ours."""
    label_lines = "".join(f'LABEL {key}="{value}"\n' for key, value in (labels or {}).items())
    dockerfile = f'FROM {RUNNER_IMAGE}\nCOPY program.py /program.py\nENTRYPOINT ["/opt/dbt/bin/python", "-I", "/program.py"]\n{label_lines}'
    return await build_image(docker, tag, dockerfile, {"program.py": program})


async def build_in_place(docker: aiodocker.Docker, tag: str, program: str) -> str:
    """Build the same with the program where ours is, for engines that do not know the image's entry point. Its byte code is not checked."""
    byte_code = "USER 0\nRUN rm -r /opt/freshet/runner/__pycache__\nUSER 10001\n"
    dockerfile = f"FROM {RUNNER_IMAGE}\n{byte_code}COPY program.py /opt/freshet/runner/__main__.py\n"
    return await build_image(docker, tag, dockerfile, {"program.py": program})
