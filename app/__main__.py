"""The command line: `python -m app serve | extract | migrate | doctor`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

from app import cli, config, log, main, parts
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
    return parser


if __name__ == "__main__":
    sys.exit(run())
