"""`python -m app images list | build | check`: the runner images of the engine."""

from __future__ import annotations

import tarfile
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import aiodocker
from rich.console import Console
from rich.table import Table

from app import config, parts
from app.config import Settings
from app.dbt import build, engine
from app.errors import DbtError, FreshetError
from app.images import RunnerImage
from app.ports import DbtJob, Runner

PROJECT = {
    "dbt_project.yml": "name: check\nversion: '1.0'\nconfig-version: 2\n",
    "models/first.sql": "select 1 as id",
    "models/second.sql": "{{ config(materialized='incremental', unique_key='id') }} select id from {{ ref('first') }}",
    "models/schema.yml": "version: 2\nmodels:\n  - name: first\n    columns:\n      - name: id\n        tests: [unique, not_null]\n",
}


async def list_images(settings: Settings) -> int:
    """Show what each runner image holds, the default one first."""
    async with parts.docker_runner(settings, "images") as runner, _docker(settings) as docker:
        table = Table("image", "dbt", "adapters", "MB")
        for image in await runner.images():
            with engine.errors(f"looking at {image.name}"):
                size = (await docker.images.inspect(image.id))["Size"]
            table.add_row(image.name, image.dbt_version, ", ".join(sorted(image.adapters)), f"{size / 1e6:,.0f}")
    console = Console()
    console.print(table)
    console.print(
        "The first one is the default (DBT_DOCKER_IMAGE). `python -m app images build --help` says how to have more.", markup=False
    )
    return 0


async def build_image(settings: Settings, dbt: str | None, adapters: str | None, tag: str | None, base: str | None) -> int:
    """Build one from the checkout that this program runs from, and say how to use it."""
    wanted = build.recipe(build.ROOT, dbt, adapters, tag)
    console = Console()
    console.print(f"Building {wanted.tag}: dbt {wanted.dbt_version} with {', '.join(wanted.adapters)}. It takes a minute or two.")
    environment = config.environment() | ({"BASE_IMAGE": base} if base else {})
    try:
        async with _docker(settings) as docker:
            await build.build(docker, build.ROOT, wanted, environment, lambda line: console.print(line, style="dim", markup=False))
    except FreshetError as error:
        console.print(error.user_text, style="red", highlight=False, markup=False)
        return 1
    if settings.dbt_docker_images and wanted.tag not in settings.dbt_docker_images:
        console.print(f"Built. Add {wanted.tag} to DBT_DOCKER_IMAGES and start the service again to have it used.")
    else:
        console.print(f"Built {wanted.tag}. A running service finds it within a minute.")
    return 0


async def check_images(settings: Settings) -> int:
    """Parse a small project with every adapter of every image, a line each; 1 when one fails."""
    well = True
    console = Console()
    async with parts.docker_runner(settings, "images") as runner:
        for image in await runner.images():
            for adapter in sorted(image.adapters):
                reason, seconds = await parses(runner, image, adapter)
                well &= not reason
                line = f"not ok: {image.name}: {adapter}: {reason}" if reason else f"ok: {image.name}: {adapter}: {seconds:.1f} s"
                console.print(f"{line} (dbt {image.dbt_version})", markup=False, highlight=False, soft_wrap=True)
    return 0 if well else 1


async def parses(runner: Runner, image: RunnerImage, adapter: str) -> tuple[str, float]:
    """Return why dbt does not parse a small project with an adapter of an image, empty when it does, and how many seconds that took."""
    began = time.monotonic()
    job = DbtJob("images-check", f"a small project for {adapter}", "", "freshet", "dev", adapter, image)
    try:
        parsed = await runner.parse(job, _tree(), None)
    except DbtError as error:
        return error.output.strip(), 0.0
    except FreshetError as error:
        return error.user_text, 0.0
    except ValueError as error:
        # There is no stub profile for an adapter that somebody added to an image.
        return str(error), 0.0
    missing = [name for name in ("model.check.first", "model.check.second") if name not in parsed.manifest.decode()]
    return f"{', '.join(missing)} is not in the manifest" if missing else "", time.monotonic() - began


def _docker(settings: Settings) -> AbstractAsyncContextManager[aiodocker.Docker]:
    verify = settings.docker_tls_verify not in (None, "", "0")
    return engine.connect(settings.docker_host, tls_verify=verify, cert_path=settings.docker_cert_path)


async def _tree() -> AsyncIterator[bytes]:
    for path, text in PROJECT.items():
        info = tarfile.TarInfo(f"src/{path}")
        info.size = len(text)
        yield info.tobuf(tarfile.PAX_FORMAT) + text.encode() + bytes(-len(text) % tarfile.BLOCKSIZE)
