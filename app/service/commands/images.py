"""`images list | build | check`: the runner images of the engine."""

from __future__ import annotations

import argparse
import tarfile
import time
from collections.abc import AsyncIterator

from rich.console import Console
from rich.table import Table

from app.core.errors import DbtError, FreshetError
from app.pipeline.ports import DbtJob, Runner
from app.project.runner_images import RunnerImage
from app.runner.docker import build
from app.runner.parse_state import ParseStates
from app.service import components, config
from app.service.commands import Commands
from app.service.config import Settings

PROJECT = {
    "dbt_project.yml": "name: check\nversion: '1.0'\nconfig-version: 2\n",
    "models/first.sql": "select 1 as id",
    "models/second.sql": "{{ config(materialized='incremental', unique_key='id') }} select id from {{ ref('first') }}",
    "models/schema.yml": "version: 2\nmodels:\n  - name: first\n    columns:\n      - name: id\n        tests: [unique, not_null]\n",
}


def add_parser(commands: Commands) -> None:
    """Declare the command, its subcommands and their arguments."""
    images = commands.add_parser("images", help="list, build and check the runner images")
    images.set_defaults(command=lambda _, settings: list_images(settings))
    subcommands = images.add_subparsers(title="commands")
    subcommands.add_parser("list", help="list each image with its dbt version, adapters and size (the default)")
    _add_build(subcommands.add_parser("build", help="build an image"))
    check = subcommands.add_parser("check", help="parse a small project with every adapter of every image; exit status 1 if one fails")
    check.set_defaults(command=lambda _, settings: check_images(settings))


def _add_build(build: argparse.ArgumentParser) -> None:
    build.add_argument(
        "--dbt", metavar="VERSION", help="a minor version (1.7) or a patch release (1.7.4) of dbt; default: the one in Dockerfile.dbt"
    )
    build.add_argument("--adapters", metavar="NAMES", help='such as "snowflake bigquery"; default: every adapter that supports the version')
    build.add_argument("--tag", metavar="NAME", help="the image's name; default: dbt-runner:VERSION-ADAPTERS")
    build.add_argument("--base", metavar="IMAGE", help="the base image, with Python 3.11; overrides BASE_IMAGE in the environment")
    build.set_defaults(command=lambda options, settings: build_image(settings, options.dbt, options.adapters, options.tag, options.base))


async def list_images(settings: Settings) -> int:
    """Print each runner image with its dbt version, adapters and size, the default one first."""
    async with components.runner(settings, ParseStates(settings.work_dir), "images") as runner:
        table = Table("image", "dbt", "adapters", "MB")
        for image in await runner.images():
            size = "" if image.size_bytes is None else f"{image.size_bytes / 1e6:,.0f}"
            table.add_row(image.name, image.dbt_version, ", ".join(sorted(image.adapters)), size)
    console = Console()
    console.print(table)
    console.print("The first image is the default (DBT_DOCKER_IMAGE). To build more: `python -m app images build --help`.", markup=False)
    return 0


async def build_image(settings: Settings, dbt: str | None, adapters: str | None, tag: str | None, base: str | None) -> int:
    """Build an image from what comes with this program, and print how to use it. The exit status is 1 on failure."""
    recipe = build.recipe(build.ROOT, dbt, adapters, tag)
    console = Console()
    console.print(f"Building {recipe.tag}: dbt {recipe.dbt_version} with {', '.join(recipe.adapters)}. This takes a minute or two.")
    environment = config.environment() | ({"BASE_IMAGE": base} if base else {})
    try:
        async with components.docker_engine(settings) as docker:
            await build.build(docker, build.ROOT, recipe, environment, lambda line: console.print(line, style="dim", markup=False))
    except FreshetError as error:
        console.print(error.user_text, style="red", highlight=False, markup=False)
        return 1
    if settings.dbt_docker_images and recipe.tag not in settings.dbt_docker_images:
        console.print(f"Built {recipe.tag}. To use it, add it to DBT_DOCKER_IMAGES and restart the service.")
    else:
        console.print(f"Built {recipe.tag}. A running service finds it within a minute.")
    return 0


async def check_images(settings: Settings) -> int:
    """Parse a small project with every adapter of every image, one line each. The exit status is 1 if one fails."""
    well = True
    console = Console()
    async with components.runner(settings, ParseStates(settings.work_dir), "images") as runner:
        for image in await runner.images():
            for adapter in sorted(image.adapters):
                reason, seconds = await parse_small_project(runner, image, adapter)
                well &= not reason
                line = f"not ok: {image.name}: {adapter}: {reason}" if reason else f"ok: {image.name}: {adapter}: {seconds:.1f} s"
                console.print(f"{line} (dbt {image.dbt_version})", markup=False, highlight=False, soft_wrap=True)
    return 0 if well else 1


async def parse_small_project(runner: Runner, image: RunnerImage, adapter: str) -> tuple[str, float]:
    """Parse a small project: why it failed (empty if it did not), and the seconds it took."""
    started_at = time.monotonic()
    job = DbtJob("images-check", f"a small project for {adapter}", "", "freshet", "dev", adapter, image)
    try:
        parsed = await runner.parse(job, _tree(), None)
    except DbtError as error:
        return error.output.strip(), 0.0
    except FreshetError as error:
        return error.user_text, 0.0
    except ValueError as error:
        # An operator's own image may have an adapter for which Freshet has no stub profile.
        return str(error), 0.0
    missing = [name for name in ("model.check.first", "model.check.second") if name not in parsed.manifest.decode()]
    return f"{', '.join(missing)} is not in the manifest" if missing else "", time.monotonic() - started_at


async def _tree() -> AsyncIterator[bytes]:
    for path, text in PROJECT.items():
        info = tarfile.TarInfo(f"src/{path}")
        info.size = len(text)
        yield info.tobuf(tarfile.PAX_FORMAT) + text.encode() + bytes(-len(text) % tarfile.BLOCKSIZE)
