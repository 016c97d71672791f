"""The first look at an installation with many repositories: how many requests, and which repositories first."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from app.github.app.auth import AppAuth
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from app.github.rest.inventory import Inventory
from app.pipeline.reconciler import Reconciler, RetentionPolicy
from app.store import Store
from tests.double import GitHubDouble
from tests.patience import HANGS_S

REPOSITORIES, PROJECTS = 60, 3
LONG = timedelta(days=1)


async def filled(github: GitHubDouble) -> None:
    """Many repositories; those with a project were pushed to last. They share two git repositories."""
    plain = await github.create_repository("octo/r0", {"README.md": "x"})
    dbt = await github.create_repository("octo/r1", {"transform/dbt_project.yml": "name: shop\n"})
    began = datetime.now(UTC)
    plain.pushed_at = dbt.pushed_at = began - timedelta(days=1)
    for number in range(2, REPOSITORIES):
        like, pushed_at = (dbt, began) if number > REPOSITORIES - PROJECTS else (plain, began - timedelta(days=number))
        made = replace(like, id=next(github.state.ids), full_name=f"octo/r{number}", pushed_at=pushed_at)
        github.state.repositories[made.id] = made


def kind(method: str, path: str) -> str:
    words = {"/access_tokens": "token", "/git/ref/": "head", "/git/trees/": "tree", "/installation/repositories": "page"}
    return next((word for part, word in words.items() if part in path), f"{method} {path}")


async def test_a_first_scan_costs_one_token_and_two_requests_per_repository(store: Store) -> None:
    async with GitHubDouble() as github, ApiClient(github.api_url, total_s=HANGS_S) as api:
        await filled(github)
        installed = await github.install("octo")
        auth = AppAuth(github.app.id, github.app.private_key_pem, api)
        client = GitHubClient(api, auth)
        caches = cast("Any", None)
        reconciler = Reconciler(store, client, Inventory(api, auth, client), caches, RetentionPolicy(LONG, LONG, LONG))
        await store.installations.install(installed.id, "octo", "Organization", "all")
        github.requests.clear()
        assert await reconciler.survey(installed.id)
        while await reconciler._next_look():
            pass
        made = Counter(kind(request.method, request.path) for request in github.requests)
        assert made == {"token": 1, "page": 1, "head": REPOSITORIES, "tree": REPOSITORIES}
        looked_at = [request.path.split("/")[3] for request in github.requests if "/git/ref/" in request.path]
        assert set(looked_at[: PROJECTS - 1]) == {f"r{number}" for number in range(REPOSITORIES - PROJECTS + 1, REPOSITORIES)}
        found = await store.extractions.active(after=None, limit=100)
        assert {one.repository.full_name for one in found} == {"octo/r1", *(f"octo/{name}" for name in looked_at[: PROJECTS - 1])}
