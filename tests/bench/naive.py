"""The simple script with which Freshet is compared.

It clones, runs one container for `dbt deps && dbt parse`, and puts the nodes and edges of the manifest into PostgreSQL, row by row in one
transaction.

    python -m tests.bench.naive URL DSN [IMAGE]

It bind-mounts the clone, so the Docker engine has to be on this machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import asyncpg

COLLECTIONS = ("nodes", "sources", "exposures", "metrics", "semantic_models", "saved_queries", "unit_tests")
TABLES = """\
CREATE SCHEMA IF NOT EXISTS naive;
CREATE TABLE IF NOT EXISTS naive.nodes (
    repository text, unique_id text, resource_type text, name text, package_name text, original_file_path text, relation_name text,
    materialized text, description text, tags text, columns text, PRIMARY KEY (repository, unique_id)
);
CREATE TABLE IF NOT EXISTS naive.edges (repository text, upstream text, downstream text, PRIMARY KEY (repository, upstream, downstream));
"""
_PROFILE = """\
{name}:
  target: stub
  outputs:
    stub: {{type: duckdb, path: ":memory:"}}
"""


@dataclass(frozen=True)
class Setting:
    """What somebody who writes the script for one project writes into it."""

    project_dir: str = ""
    profiles: str | None = None
    """The text of `profiles.yml`; None: a stub for DuckDB."""
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[str] = ()
    """More options of `docker run`."""


def run(url: str, dsn: str, image: str, workdir: Path, setting: Setting | None = None) -> dict[str, float]:
    """Run it, and return the seconds of each stage: `clone`, `dbt` (the whole container), `insert` (reading the manifest, inserting rows).

    The tables are there: see `prepare`. Works in a directory below `workdir` that is gone afterwards. Raises RuntimeError, with the
    end of what was printed, when a command fails.
    """
    seconds: dict[str, float] = {}
    workdir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="naive-", dir=workdir) as scratch:
        clone = Path(scratch).resolve() / "clone"
        with _timed(seconds, "clone"):
            _command(["git", "clone", "--quiet", "--depth", "1", url, str(clone)])
        setting = setting or Setting()
        project = clone / setting.project_dir
        (project / "profiles.yml").write_text(setting.profiles or _PROFILE.format(name=_profile_name(project)), encoding="utf-8")
        with _timed(seconds, "dbt"):
            _command(_docker_run(image, clone, setting))
        with _timed(seconds, "insert"):
            manifest = json.loads((project / "target/manifest.json").read_bytes())
            asyncio.run(_insert(dsn, url, manifest))
    return seconds


async def prepare(dsn: str) -> None:
    """Create the tables."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(TABLES)
    await connection.close()


async def counts(dsn: str, url: str) -> tuple[int, int]:
    """The numbers of nodes and edges in the database."""
    connection = await asyncpg.connect(dsn)
    nodes = await connection.fetchval("SELECT count(*) FROM naive.nodes WHERE repository = $1", url)
    edges = await connection.fetchval("SELECT count(*) FROM naive.edges WHERE repository = $1", url)
    await connection.close()
    return nodes, edges


async def _insert(dsn: str, url: str, manifest: Mapping[str, Any]) -> None:
    nodes = {key: node for collection in COLLECTIONS for key, node in manifest.get(collection, {}).items()}
    connection = await asyncpg.connect(dsn)
    async with connection.transaction():
        await connection.execute("DELETE FROM naive.nodes WHERE repository = $1", url)
        await connection.execute("DELETE FROM naive.edges WHERE repository = $1", url)
        for key, node in nodes.items():
            insert = "INSERT INTO naive.nodes VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
            await connection.execute(insert, url, key, *_columns(node))
        for child, parents in manifest["parent_map"].items():
            for parent in dict.fromkeys(parents):
                if child in nodes and parent in nodes:
                    await connection.execute("INSERT INTO naive.edges VALUES ($1, $2, $3)", url, parent, child)
    await connection.close()


def _columns(node: Mapping[str, Any]) -> tuple[str | None, ...]:
    plain = [node.get(name) for name in ("resource_type", "name", "package_name", "original_file_path", "relation_name")]
    config = node.get("config") or {}
    return (
        *plain,
        config.get("materialized"),
        node.get("description"),
        json.dumps(node.get("tags") or []),
        json.dumps(list(node.get("columns") or {})),
    )


def _docker_run(image: str, clone: Path, setting: Setting) -> list[str]:
    return [
        "docker",
        "run",
        "--rm",
        f"--user={os.getuid()}:{os.getgid()}",
        f"--volume={clone}:/clone",
        f"--workdir=/clone/{setting.project_dir}",
        "--env=DBT_PROFILES_DIR=.",
        "--env=DBT_TARGET_PATH=target",
        *(f"--env={name}={value}" for name, value in setting.environment.items()),
        *setting.options,
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


def _command(command: Sequence[str]) -> None:
    done = subprocess.run(
        command,
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
    if not 2 <= len(arguments) <= 3:
        sys.exit("usage: python -m tests.bench.naive URL DSN [IMAGE]")
    url, dsn, *image = arguments
    asyncio.run(prepare(dsn))
    with tempfile.TemporaryDirectory() as workdir:
        stages = run(url, dsn, image[0] if image else os.environ.get("DBT_DOCKER_IMAGE", "dbt-runner:latest"), Path(workdir))
    for stage, seconds in {**stages, "total": sum(stages.values())}.items():
        print(f"{stage:6} {seconds:8.3f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
