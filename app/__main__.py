"""The command line: `python -m app serve | extract | migrate | doctor | images`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

from app import cli, config, image_commands, log, main, parts
from app.errors import FreshetError


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 well, 1 not, 2 wrong usage or configuration."""
    options = _parser().parse_args(arguments)
    log.configure(pretty=sys.stderr.isatty())
    command: Callable[[argparse.Namespace, config.Settings], Coroutine[None, None, int]] = options.command
    try:
        settings = config.read()
        parts.make_directories(settings)
        return asyncio.run(command(options, settings))
    except FreshetError as error:
        print(f"freshet: {error.user_text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app", description="Freshet keeps the lineage of dbt projects on GitHub current.")
    commands = parser.add_subparsers(title="commands", required=True)

    serve = commands.add_parser("serve", help="run the service")
    serve.set_defaults(command=lambda _, settings: main.serve(settings))

    extract = commands.add_parser("extract", help="extract the lineage of one project, with no GitHub App")
    extract.add_argument("source", metavar="PATH_OR_GIT_URL", help="a directory (its newest commit, if it is a git work tree) or a git URL")
    extract.add_argument("--project-dir", metavar="D", help="directory of the dbt project, where there are several")
    extract.add_argument("--json", metavar="FILE", type=Path, help="write the lineage there as JSON; `-` is standard output")
    extract.set_defaults(command=lambda options, settings: cli.extract(settings, options.source, options.project_dir, options.json))

    migrate = commands.add_parser("migrate", help="bring the database up to date")
    migrate.set_defaults(command=lambda _, settings: cli.migrate_database(settings))

    doctor = commands.add_parser("doctor", help="check what the service needs, one line each")
    doctor.set_defaults(command=lambda _, settings: cli.doctor(settings))

    _add_images(commands.add_parser("images", help="list, build and check the runner images"))
    return parser


def _add_images(images: argparse.ArgumentParser) -> None:
    images.set_defaults(command=lambda _, settings: image_commands.list_images(settings))
    commands = images.add_subparsers(title="commands")

    commands.add_parser("list", help="show what each runner image holds (also without a command)")

    build = commands.add_parser("build", help="build one from this checkout")
    build.add_argument(
        "--dbt", metavar="VERSION", help="a minor version (1.7) or one release of it (1.7.4); that of Dockerfile.dbt if not given"
    )
    build.add_argument(
        "--adapters", metavar="NAMES", help='for example "snowflake bigquery"; all that there are for the version if not given'
    )
    build.add_argument("--tag", metavar="NAME", help="what to call it, dbt-runner:VERSION-ADAPTERS if not given")
    build.add_argument("--base", metavar="IMAGE", help="an image with Python 3.11 to build on, as BASE_IMAGE in the environment")
    build.set_defaults(
        command=lambda options, settings: image_commands.build_image(settings, options.dbt, options.adapters, options.tag, options.base)
    )

    check = commands.add_parser("check", help="parse a small project with every adapter of every image; exit status 1 when one fails")
    check.set_defaults(command=lambda _, settings: image_commands.check_images(settings))


if __name__ == "__main__":
    sys.exit(run())
