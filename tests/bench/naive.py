"""The obvious script, which Freshet is measured against.

It clones, runs one container for `dbt deps && dbt parse`, and reads the manifest.

    python -m tests.bench.naive URL [IMAGE]

It bind-mounts the clone, so the Docker engine has to be on this machine.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

_PROFILE = """\
{name}:
  target: stub
  outputs:
    stub: {{type: duckdb, path: ":memory:"}}
"""


def run(
    url: str,
    image: str,
    workdir: Path,
    env: Mapping[str, str] | None = None,
    project_dir: str = ".",
) -> dict[str, float]:
    """Seconds of each stage: `clone`, `dbt` (the container from start to end), `load` (the manifest as JSON).

    Works in a directory below `workdir` that is gone afterwards. `env` is added to the environment of git
    and docker. RuntimeError, with the end of what was printed, when a command fails.
    """
    seconds: dict[str, float] = {}
    environment = {**os.environ, **(env or {})}
    workdir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="naive-", dir=workdir) as scratch:
        clone = Path(scratch).resolve() / "clone"
        with _timed(seconds, "clone"):
            _command(["git", "clone", "--quiet", "--depth", "1", url, str(clone)], environment)
        project = clone / project_dir
        (project / "profiles.yml").write_text(_PROFILE.format(name=_profile_name(project)), encoding="utf-8")
        with _timed(seconds, "dbt"):
            _command(_docker_run(image, clone, project_dir), environment)
        with _timed(seconds, "load"), (project / "target/manifest.json").open(encoding="utf-8") as manifest:
            json.load(manifest)
    return seconds


def _docker_run(image: str, clone: Path, project_dir: str) -> list[str]:
    return [
        "docker",
        "run",
        "--rm",
        f"--user={os.getuid()}:{os.getgid()}",
        f"--volume={clone}:/clone",
        f"--workdir=/clone/{project_dir}",
        "--env=DBT_PROFILES_DIR=.",
        "--entrypoint=sh",
        image,
        "-c",
        "dbt deps && dbt parse",
    ]


def _profile_name(project: Path) -> str:
    text = (project / "dbt_project.yml").read_text(encoding="utf-8")
    found = re.search(r"""^profile:\s*["']?([\w-]+)""", text, re.MULTILINE)
    return found[1] if found else "default"


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = perf_counter()
    yield
    seconds[stage] = perf_counter() - started


def _command(command: Sequence[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} {command[1]} ended with {done.returncode}: {done.stdout[-2000:]}")


def main(arguments: Sequence[str]) -> None:
    if not 1 <= len(arguments) <= 2:
        sys.exit("usage: python -m tests.bench.naive URL [IMAGE]")
    image = arguments[1] if len(arguments) > 1 else os.environ.get("DBT_DOCKER_IMAGE", "dbt-runner:latest")
    with tempfile.TemporaryDirectory() as workdir:
        stages = run(arguments[0], image, Path(workdir))
    for stage, seconds in {**stages, "total": sum(stages.values())}.items():
        print(f"{stage:6} {seconds:8.3f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
