"""The projects that are watched whole, as files: our sample project, and public ones with seeds from the repositories of `make compat`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.compat.__main__ import ROOT, read
from tests.compat.hub import GitHub
from tests.integration.runner_images import RUNNER_IMAGE

REPOSITORIES = ROOT / ".cache" / "compat"
SAMPLE = ROOT / "demo" / "project"
MAX_SEED = 1 << 20
"""Bytes: the rows of a larger seed are made up, which also keeps the result the same where a copy of a repository lacks large files."""

Files = dict[str, str]


class UnavailableProjectError(Exception):
    """The files of a project cannot be had; the text says why."""


class Package(NamedTuple):
    """`folder` in `dbt_packages`; `version`: a tag or commit."""

    folder: str
    repository: str
    version: str


class Whole(NamedTuple):
    """A project to watch. `repository` is None for the sample project; `adapter`: whose SQL it is written in.

    `answered`: SQL of models, by name, in place of what dbt renders without the warehouse's answers. `directory`: in the repository.
    """

    name: str
    repository: str | None = None
    adapter: str = "duckdb"
    packages: tuple[Package, ...] = ()
    answered: Mapping[str, str] = {}
    directory: str = ""


SAMPLE_PROJECT = Whole("the sample project (`demo/project`)")
PUBLIC = (
    Whole("dbt-labs/jaffle_shop_duckdb", "dbt-labs/jaffle_shop_duckdb"),
    Whole(
        "dbt-labs/jaffle-shop",
        "dbt-labs/jaffle-shop",
        packages=(
            Package("dbt_utils", "dbt-labs/dbt-utils", "1.3.3"),
            Package("dbt_date", "godatadriven/dbt-date", "0.17.1"),
            Package("audit_helper", "dbt-labs/dbt-audit-helper", "3bd0ca4e9d79b7d740ad7e77384b3d03a16cf242"),
        ),
    ),
    Whole(
        "dbt-labs/mrr-playbook",
        "dbt-labs/mrr-playbook",
        "snowflake",
        (Package("dbt_utils", "dbt-labs/dbt-utils", "0.8.0"),),
        {"util_months": "select unnest(range(timestamp '2018-01-01', timestamp '2019-12-01', interval 1 month)) as date_month"},
    ),
    Whole("dbt-labs/attribution-playbook", "dbt-labs/attribution-playbook", "snowflake"),
    Whole(
        "dbt-labs/dbt-utils `integration_tests`",
        "dbt-labs/dbt-utils",
        packages=(Package("dbt_utils", "dbt-labs/dbt-utils", "700764ce230b2fb775b5338b6bc77a72233ea34c"),),
        directory="integration_tests",
    ),
)
"""The SQL of the two playbooks is Snowflake's. The warehouse says how many months `util_months` has: without it, one."""


def unavailable_runner() -> str | None:
    """Why no container can be run here, as a sentence; None if one can."""
    if shutil.which("docker") is None:
        return "There is no `docker` command on this machine."
    found = subprocess.run(["docker", "image", "inspect", RUNNER_IMAGE], check=False, capture_output=True)
    return None if found.returncode == 0 else f"The image `{RUNNER_IMAGE}` is not available: run `make image` first."


def files(project: Whole) -> Files:
    """The text files of a project and its packages by path. Raises UnavailableProjectError."""
    if project.repository is None:
        return {str(path.relative_to(SAMPLE)): path.read_text() for path in sorted(SAMPLE.rglob("*")) if path.is_file()}
    github = GitHub(REPOSITORIES)
    commits = {listed.repository: listed.commit for listed in read()[0]}
    try:
        found = dict(_texts(github, project.repository, commits[project.repository], "", project.directory))
        for package in project.packages:
            found |= _texts(github, package.repository, package.version, f"dbt_packages/{package.folder}/")
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        message = f"git could not read its repository or that of a package: {said[-1] if said else error}"
        raise UnavailableProjectError(message) from error
    return found


def _texts(github: GitHub, repository: str, commit: str, before: str, directory: str = "") -> Iterator[tuple[str, str]]:
    start = f"{directory}/" if directory else ""
    for path, is_link, content in github.files(repository, commit):
        inside = path.startswith(start) if start else not path.startswith("integration_tests/")
        if inside and not is_link and Path(path).suffix in (".sql", ".yml", ".csv", ".md", ".py"):
            yield before + path.removeprefix(start), "" if len(content) > MAX_SEED else content.decode(errors="replace")
