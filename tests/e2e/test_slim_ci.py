"""The workflow in `docs/slim-ci.md`, step by step as written, with the token of a workflow and the real dbt.

GitHub and the engine of the service are doubles. What the customer's dbt needs for the warehouse is another profile than Freshet's.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.double import GitHubDouble, Repository
from tests.engine import EngineDouble
from tests.integration.runner_images import RUNNER_IMAGE
from tests.service import ROOT, serving

COMPARED = "flags: {state_modified_compare_more_unrendered_values: true}\n"
PROJECT = "name: shop\nversion: '1.0'\nprofile: shop\nmodels: {shop: {+schema: \"{{ env_var('MART_SCHEMA') }}\"}}\n"
FILES = {
    "dbt_project.yml": PROJECT + COMPARED,
    "profiles.yml": "shop: {target: dev, outputs: {dev: {type: duckdb, path: dev.duckdb, schema: \"{{ env_var('SCHEMA') }}\"}}}\n",
    "models/sources.yml": "sources:\n- {name: raw, tables: [{name: orders}]}\n"
    "- {name: erp, schema: \"{{ env_var('ERP_SCHEMA') }}\", tables: [{name: items}]}\n",
    "models/schema.yml": "models: [{name: stg_orders, columns: [{name: id, data_tests: [not_null]}]}]\n"
    "exposures: [{name: board, type: dashboard, owner: {name: Ann}, depends_on: [ref('orders')]}]\n",
    "models/stg_orders.sql": "select {{ as_is('id') }} as id from {{ source('raw', 'orders') }}",
    "models/stg_items.sql": "select * from {{ source('erp', 'items') }} {% if is_incremental() %} where {{ dbt.hash('a') }} {% endif %}",
    "models/orders.sql": "{{ config(materialized='table', alias='orders_' ~ target.name) }} select * from {{ ref('stg_orders') }}",
    "models/items.sql": "select * from {{ ref('stg_items') }} where '{{ target.schema }}' <> '{{ var('skip', '') }}'",
    "macros/as_is.sql": "{% macro as_is(name) %}{{ name }}{% endmacro %}",
    "seeds/countries.csv": "code\nde\n",
    "snapshots/old.sql": "{% snapshot old %}{{ config(target_schema='s', unique_key='id', strategy='check', check_cols='all') }}"
    "select * from {{ source('raw', 'orders') }}{% endsnapshot %}",
}
CI_PROFILE = (
    "shop: {target: ci, outputs: {ci: {type: postgres, host: h, user: u, password: p, port: 5432, dbname: analytics, schema: pr_1}}}\n"
)
"""The customer's warehouse: another adapter, target, database and schema than those that Freshet parses with."""
DBT = """#!/usr/bin/env bash
tar -c . | docker run --rm --interactive --network=none --user=10001:10001 --env=MART_SCHEMA=marts --env=ERP_SCHEMA=erp --env=SCHEMA=x \\
  --entrypoint=sh IMAGE -c 'mkdir /tmp/shop && cd /tmp/shop && tar -x && exec /opt/dbt/bin/dbt --quiet "$@"' dbt "$@"
"""
"""The command `dbt` of the workflow, in a container without a network."""


@dataclass(frozen=True, slots=True)
class Shop:
    """A repository that Freshet follows, and the customer's clone of it."""

    github: GitHubDouble
    repository: Repository
    clone: Path
    base: str
    environment: dict[str, str]

    async def merge(self, files: dict[str, str]) -> None:
        """Check out what GitHub would: the merge of a branch that changes files with the base branch."""
        who = "-c user.name=t -c user.email=t@example.com"
        await self.run(f"git fetch --quiet origin && git checkout --quiet --force --detach {self.base} && git clean -dfqx")
        for name, text in files.items():
            (self.clone / name).write_text(text)
        await self.run(
            f"git add --all && tree=$(git write-tree) && side=$(git {who} commit-tree $tree -p {self.base} -m side)"
            f" && git checkout --quiet $(git {who} commit-tree $tree -p {self.base} -p $side -m merge)"
        )

    async def run(self, script: str) -> list[str]:
        """Run a step, and return the lines that it prints."""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-eo", "pipefail", "-c", script),
            cwd=self.clone,
            env={**os.environ, **self.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        assert process.returncode == 0, (output + errors).decode()
        return output.decode().split()


def steps() -> dict[str, dict[str, Any]]:
    """The named steps of the workflow."""
    [text] = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs" / "slim-ci.md").read_text(), re.MULTILINE | re.DOTALL)
    return {step["name"]: step for step in yaml.safe_load(text)["jobs"]["modified"]["steps"] if "name" in step}


@pytest_asyncio.fixture(scope="module")
async def shop(engine: EngineDouble, tmp_path_factory: pytest.TempPathFactory, module_dsn: str) -> AsyncIterator[Shop]:
    directory = tmp_path_factory.mktemp("slim")
    ours: dict[str, Any] = {"DATABASE_URL": module_dsn, "DOCKER_HOST": engine.url, "FRESHET_WARM_CONTAINERS": "0"}
    async with GitHubDouble() as github, serving(github, directory / "data", **ours) as service:
        repository = await github.create_repository("acme/shop", {"README.md": "shop"})
        await github.install("acme", [repository])
        base = await github.push(repository, FILES)
        run = await github.wait_for_check_run(repository, base)
        assert run.conclusion == "success", run.summary
        clone = directory / "clone"
        clone.mkdir()
        (directory / "bin").mkdir()
        command = directory / "bin" / "dbt"
        command.write_text(DBT.replace("IMAGE", RUNNER_IMAGE))
        command.chmod(0o755)
        environment = {
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "FRESHET": service.url,
            "GITHUB_REPOSITORY": "acme/shop",
            "GITHUB_TOKEN": github.actions_token(repository, {"contents": "read"}),
        }
        made = Shop(github, repository, clone, base, environment)
        await made.run(f"git clone --quiet {repository.directory} .")
        yield made


async def modified(shop: Shop, files: dict[str, str], select: str = "") -> set[str]:
    """What the workflow lists for a pull request that changes these files."""
    await shop.merge(files)
    (shop.clone / "profiles.yml").write_text(CI_PROFILE)
    named = steps()
    await shop.run(named["Get the manifest of the base"]["run"])
    script: str = named["List what is modified"]["run"]
    return {*await shop.run(script if not select else script.replace("state:modified+", select))}


async def test_the_workflow_finds_the_changed_model_and_what_depends_on_it(shop: Shop) -> None:
    found = await modified(shop, {"models/stg_orders.sql": "select id, 1 as one from {{ source('raw', 'orders') }}"})
    assert found == {"shop.stg_orders", "shop.orders", "shop.not_null_stg_orders_id", "exposure:shop.board"}


async def test_nothing_is_modified_that_dbt_does_not_compare(shop: Shop) -> None:
    assert await modified(shop, {"README.md": "hello", "models/notes.md": "{% docs a %}b{% enddocs %}"}) == set()


async def test_a_macro_a_seed_and_new_models_are_found(shop: Shop) -> None:
    files = {
        "macros/as_is.sql": "{% macro as_is(name) %}( {{ name }} ){% endmacro %}",
        "seeds/countries.csv": "code\nfr\n",
        "models/items.sql": "{{ config(materialized='table') }} select 1",
        "models/new.sql": "select 2",
    }
    reached = {"shop.stg_orders", "shop.orders", "shop.not_null_stg_orders_id", "exposure:shop.board"}
    assert await modified(shop, files) == {*reached, "shop.countries", "shop.items", "shop.new"}


async def test_the_remedies_for_names_of_tables_are_those_that_the_page_says(shop: Shop) -> None:
    """Without the flag, sources are found modified, unless names are left out."""
    plain = await shop.github.push(shop.repository, {"dbt_project.yml": PROJECT}, branch="plain")
    await shop.github.wait_for_check_run(shop.repository, plain)
    before = replace(shop, base=plain)
    files = {"models/stg_orders.sql": "select id from {{ source('raw', 'orders') }}", "models/new.sql": "select 1"}
    assert "source:shop.erp.items" in await modified(before, files)
    [remedy] = re.findall(r"`--select (state:modified\.body\+ [^`]+)`", (ROOT / "docs" / "slim-ci.md").read_text())
    assert await modified(before, files, remedy) == {
        "shop.stg_orders",
        "shop.orders",
        "shop.not_null_stg_orders_id",
        "exposure:shop.board",
        "shop.new",
    }


async def test_a_base_without_a_manifest_is_replaced_by_the_newest_of_the_followed_branch(shop: Shop) -> None:
    broken = await shop.github.push(shop.repository, {"models/bad.sql": "{{ ref('nothing') }}"})
    assert (await shop.github.wait_for_check_run(shop.repository, broken)).conclusion == "failure"
    assert await modified(replace(shop, base=broken), {"models/bad.sql": "select 1"}) == {"shop.bad"}
