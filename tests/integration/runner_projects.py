"""dbt projects as the pipeline passes them on: tar entries named `src/...`, with their job."""

from __future__ import annotations

import asyncio
import secrets
import tarfile
from collections.abc import AsyncIterator, Mapping
from typing import Any

from app.core.models.github import Repository
from app.pipeline.ports import DbtJob, PackageRequest
from tests.integration.runner_images import RUNNER_IMAGE, named

PROJECT = "name: shop\nversion: '1.0'\nprofile: shop\n"
SHOP = {
    "dbt_project.yml": PROJECT,
    "models/orders.sql": "select 1 as id",
    "models/totals.sql": "select count(*) as n from {{ ref('orders') }}",
    "models/schema.yml": "models:\n  - name: orders\n    columns:\n      - name: id\n        data_tests: [unique]\n",
}


def shop(**changed: str) -> dict[str, str]:
    """The files of `SHOP` with changes; `models__orders` stands for `models/orders.sql`."""
    return {**SHOP, **{f"{name.replace('__', '/')}.sql": text for name, text in changed.items()}}


RUN = secrets.token_hex(4)


def extraction(name: str = "01TEST") -> str:
    """An extraction's id that no other run of the tests uses, whose containers may stand on the same engine."""
    return f"{name}-{RUN}"


def job(*, extraction_id: str = "01TEST", **changed: Any) -> DbtJob:
    """A job for `SHOP`."""
    fields = {
        "extraction_id": extraction(extraction_id),
        "label": "octo/shop at 1a2b3c4",
        "project_dir": "",
        "profile": "shop",
        "target": "dev",
        "adapter_type": "duckdb",
        "image": named(RUNNER_IMAGE),
    }
    return DbtJob(**{**fields, **changed})


def request(files: Mapping[str, str | bytes], **changed: Any) -> PackageRequest:
    """A request for the packages of a project."""
    repository = Repository(1, "octo/shop", 1, "main", private=False)
    return PackageRequest(repository, job(**changed), "dbt_packages", {}, (), lambda: tree(files))


def entry(path: str, content: str | bytes, mtime: int = 1_600_000_000) -> bytes:
    """One complete tar entry: header, content, padding."""
    data = content.encode() if isinstance(content, str) else content
    info = tarfile.TarInfo(f"src/{path}")
    info.size, info.mtime = len(data), mtime
    return info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)


async def tree(files: Mapping[str, str | bytes] = SHOP) -> AsyncIterator[bytes]:
    """Stream a project as `SourceTree.members` does."""
    for path, content in files.items():
        yield entry(path, content)


async def held(files: Mapping[str, str | bytes], release: asyncio.Event) -> AsyncIterator[bytes]:
    """Stream a project whose last file is sent only after `release`; its container waits."""
    *first, last = files.items()
    for path, content in first:
        yield entry(path, content)
    await release.wait()
    yield entry(*last)
