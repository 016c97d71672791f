"""Warms the process before there is a job: dbt parses a small project, so that everything is imported and compiled."""

from __future__ import annotations

import gc
import importlib
import io
import os
import shutil
import sys
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import freshet_column_stage
import freshet_dbt
import freshet_flags
import freshet_imports
import freshet_job  # noqa: F401 - imports everything that a job needs
import freshet_manifest_json
import freshet_node_parsing
import freshet_node_stages
import freshet_placeholders
import freshet_shortcuts
import freshet_templates
import freshet_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = {
    "dbt_project.yml": "name: freshet_warm\nversion: '1.0'\nmodels:\n  +tags: [warm]\n",
    "models/first.sql": "{{ config(materialized='table') }} select {{ warm('1') }} as id from {{ source('raw', 'things') }}",
    "models/second.sql": "select {{ warm('id') }} as id from {{ ref('first') }}",
    "macros/warm.sql": "{% macro warm(name) %}{{ name }}{% endmacro %}",
    "seeds/seeded.csv": "id\n1\n",
    "models/schema.yml": """version: 2
sources:
  - name: raw
    tables: [{name: things, description: "{{ doc('text') }}"}]
models:
  - name: first
    description: "{{ doc('text') }}"
    config: {meta: {warm: true}}
    columns: [{name: id, description: One, tests: [unique, not_null]}]
  - name: second
    columns: [{name: id, tests: [{relationships: {to: ref('first'), field: id}}, {accepted_values: {values: ['1']}}]}]
exposures:
  - {name: shown, type: dashboard, owner: {name: Warm, email: warm@example.com}, depends_on: [ref('second')]}
""",
    "models/text.md": "{% docs text %}Text{% enddocs %}",
}
CHANGED = {**PROJECT, "models/second.sql": "select 1 as id from {{ ref('first') }}"}


def warm(request: dict) -> None:
    """Import the adapter of `request`, and parse with its stub profile, first in full, then with a state. Leaves no trace."""
    if not request.get("adapter_type"):
        return
    with freshet_imports.quickly():
        importlib.import_module("dbt.adapters." + request["adapter_type"])
    job = {"project_dir": "", "variables": {}, "environment": {}, "keep_state": True, **request}
    freshet_shortcuts.remember(more=True)
    try:
        with _silence():
            with _without_threads():
                for files in (PROJECT, CHANGED):
                    _parse(files, job)
            freshet_column_stage.load(request["adapter_type"])
    finally:
        freshet_shortcuts.remember(more=False)
        _forget()


@contextmanager
def _silence() -> Iterator[None]:
    """Keep dbt's output about our own project out of the job's log."""
    said = {number: os.dup(number) for number in (1, 2)}
    silence = os.open(os.devnull, os.O_WRONLY)
    for number in said:
        os.dup2(silence, number)
    try:
        yield
    finally:
        sys.stdout.flush()
        for number, before in said.items():
            os.dup2(before, number)
            os.close(before)
        os.close(silence)


@contextmanager
def _without_threads() -> Iterator[None]:
    """Keep the threads of dbt's static parser out of this process: they would be missing in its forks, which wait for them."""
    module = importlib.import_module("dbt.parser.models")
    extract = getattr(module, "py_extract_from_source", None)

    def refuse(_: str) -> None:
        raise module.ExtractionError

    if extract is not None:
        module.py_extract_from_source = refuse
    try:
        yield
    finally:
        if extract is not None:
            module.py_extract_from_source = extract


def _parse(files: dict, job: dict) -> None:
    _remove(freshet_tree.SOURCE, freshet_dbt.TARGET)
    freshet_tree.Tree().unpack(_archive(files))
    freshet_dbt.invoke("parse", job, {}, freshet_placeholders.Placeholders(""))
    new = freshet_node_parsing.PARSE.memory.write()
    if new is not None:
        os.replace(new, freshet_tree.STATE)


def _archive(files: dict) -> io.BytesIO:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, text in files.items():
            member = tarfile.TarInfo("src/" + path)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    archive.seek(0)
    return archive


def _forget() -> None:
    """Undo all changes: files, the environment, and what dbt remembers from a run."""
    os.chdir(freshet_tree.WORK)
    _remove(freshet_tree.SOURCE, freshet_dbt.TARGET, freshet_dbt.LOGS, freshet_dbt.PROFILES, freshet_tree.STATE)
    os.environ.clear()
    os.environ.update(freshet_dbt.ENVIRONMENT)
    freshet_node_parsing.forget()
    freshet_node_stages.STAGE.__init__()
    freshet_manifest_json.forget()
    freshet_templates.forget()
    freshet_dbt.PARTIAL = False
    freshet_flags.IGNORED.clear()
    # dbt reports each of these warnings once.
    getattr(importlib.import_module("dbt.deprecations"), "active_deprecations", set()).clear()
    gc.collect()
    gc.freeze()


def _remove(*paths: str) -> None:
    for path in paths:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.unlink(path)
