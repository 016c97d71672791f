"""`doctor`: checks everything that the service needs, and prints one line for each."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core import log
from app.core.app_health import Finding
from app.core.errors import EngineUnavailableError, FreshetError
from app.pipeline.ports import Runner
from app.runner.parse_state import ParseStates
from app.service import components
from app.service.commands import Commands
from app.service.config import Settings
from app.store import Store
from app.web.health import run_check

RUNBOOK = "docs/runbook.md"
START_ENGINE = "Start the Docker engine, or correct DOCKER_HOST: `docker version` has to answer with the same user and environment."


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("doctor", help="check the GitHub App, database, Docker and runner images; prints one line for each")
    parser.set_defaults(command=lambda _, settings: doctor(settings))


async def doctor(settings: Settings) -> int:
    """Print one line per check. The exit status is 1 if any check fails."""
    pretty = settings.freshet_log_format == "text" or (settings.freshet_log_format == "auto" and sys.stderr.isatty())
    log.configure(level=logging.ERROR, pretty=pretty)  # warnings have their line
    results = []
    for name, check in (("database", _check_database), (components.runner_name(settings), _check_runner), ("runner images", _check_images)):
        well, line = await run_check(lambda check=check: check(settings))  # type: ignore[misc]
        results.append(_report(Finding(name, well, line)))
    try:
        async with components.github(settings) as (*_, setup):
            findings = (await setup.run_checkup()).findings
    except FreshetError as error:
        findings = (Finding.bad("GitHub App", error.user_text),)
    results += [_report(finding) for finding in findings]
    return 0 if all(results) else 1


def _report(finding: Finding) -> bool:
    end = "" if finding.text.endswith(".") else "."
    more = "" if finding.passed else f"{end} See {RUNBOOK}#doctor-{finding.name.lower().replace(' ', '-')}"
    print(f"{'ok' if finding.passed else 'not ok'}: {finding.name}: {finding.text}{more}", flush=True)
    return finding.passed


async def _check_database(settings: Settings) -> str:
    async with components.connected(settings) as (db, remark):
        return ", ".join(filter(None, [await Store(db).check(), remark]))


async def _check_runner(settings: Settings) -> str:
    async with _runner(settings) as runner:
        return await runner.check()


async def _check_images(settings: Settings) -> str:
    async with _runner(settings) as runner:
        return "; ".join(f"{image.name} has dbt {image.dbt_version}" for image in await runner.images())


@asynccontextmanager
async def _runner(settings: Settings) -> AsyncIterator[Runner]:
    """The runner; its errors do not promise that the service tries again."""
    try:
        async with components.runner(settings, ParseStates(settings.work_dir)) as runner:
            yield runner
    except EngineUnavailableError as error:
        raise EngineUnavailableError(error.doing, error.reason, START_ENGINE) from error
