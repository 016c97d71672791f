"""The command line: `freshet serve | extract | migrate | doctor | images | mcp`, each command with its own parser."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from importlib.metadata import PackageNotFoundError, version

from app.core import log
from app.core.errors import FreshetError
from app.core.interruption import InterruptedBySignal, until_interrupted
from app.service import components, config
from app.service.commands import doctor, extract, images, mcp, migrate, serve

COMMANDS = (serve, extract, migrate, doctor, images, mcp)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: 0 success, 1 failure, 2 wrong usage or configuration, 128 + N interrupted by signal N."""
    options = _parser().parse_args(arguments)
    log.configure(pretty=sys.stderr.isatty())
    command: Callable[[argparse.Namespace, config.Settings], Coroutine[None, None, int]] = options.command
    try:
        settings = config.read()
        if settings.freshet_log_format != "auto":
            log.configure(pretty=settings.freshet_log_format == "text")
        if not getattr(options, "without_directories", False):
            components.make_directories(settings)
        return asyncio.run(until_interrupted(command(options, settings)))
    except FreshetError as error:
        print(f"freshet: {error.user_text}", file=sys.stderr)
        return 2
    except InterruptedBySignal as interruption:
        return interruption.status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="freshet", description="Freshet keeps the lineage of dbt projects on GitHub current.")
    parser.add_argument("--version", action="version", version=f"freshet {_version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def _version() -> str:
    try:
        return version("freshet")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(run())
