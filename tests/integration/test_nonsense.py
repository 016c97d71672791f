"""Values that PostgreSQL cannot store, in every field of every delivery and of every operation: refused by name, never a 500."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import json
import random
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, get_args
from urllib.parse import quote

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from app.core.models.github import Repository
from app.github.app.auth import AppAuth
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from app.github.rest.inventory import Inventory
from app.github.webhook import Delivery, WebhookEndpoint
from app.notifications.rules import SubscriptionRules
from app.pipeline import events, webhooks
from app.pipeline.branch_heads import BranchHeads
from app.store import Store
from app.web import keys, routes
from app.web.api.operation import Operation
from app.web.api.operations import operations
from app.web.api.schemas.connections import MAX_BRANCH, MAX_DIRECTORY
from app.web.auth.service_tokens import ServiceCallers, ServiceTokens
from app.web.http import middleware
from app.web.pages import frame
from app.web.pages.setup_access import SetupAccess
from tests.double import GitHubDouble
from tests.integration.connections_world import LINEAGE

SECRET = "a-webhook-secret"
SHA = "1a2b3c4d5e6f708192a3b4c5d6e7f80910111213"
WIDE = "".join(random.Random(1).choices([chr(code) for code in range(0x10000, 0x20000)], k=1000))  # noqa: S311 - no secret
"""Four bytes a character, and nothing that compresses: too long for an index."""
NUMBERS = [0, -1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30]
TEXTS = ["", "a\0b", "\ud800", "x" * 5000, WIDE, "a\nb", "%", "\u202e", "../..", "\uffff"]
VALUES = [*NUMBERS, *TEXTS, 1.5, True, None, [], {}, ["a\0b"], {"a": "\0"}]

REPOSITORY = {"id": 7, "full_name": "octo/shop", "private": True, "default_branch": "main"}
INSTALLATION = {"id": 3, "account": {"login": "octo", "type": "Organization"}, "repository_selection": "all"}
OF_REPOSITORY = {"repository": REPOSITORY, "installation": {"id": 3}}
RUN = {"head_sha": SHA, "external_id": "5f9f2f3e-0000-4000-8000-000000000000", "check_suite": {"head_sha": SHA, "head_branch": "main"}}
PAYLOADS: dict[str, dict[str, Any]] = {
    "ping": {"zen": "Design for failure."},
    "push": {"ref": "refs/heads/main", "before": "0" * 40, "after": SHA, **OF_REPOSITORY},
    "pull_request": {
        "action": "opened",
        "pull_request": {
            "number": 12,
            "state": "open",
            "draft": False,
            "updated_at": "2026-01-02T03:04:05Z",
            "head": {"ref": "x", "sha": SHA, "label": "mona:x", "repo": {"id": 8}, "user": {"login": "mona"}},
            "base": {"ref": "main"},
        },
        **OF_REPOSITORY,
    },
    "merge_group": {
        "action": "checks_requested",
        "merge_group": {"head_sha": SHA, "head_ref": f"refs/heads/gh-readonly-queue/main/pr-12-{SHA}"},
        **OF_REPOSITORY,
    },
    "installation": {"action": "created", "installation": INSTALLATION, "repositories": [REPOSITORY]},
    "github_app_authorization": {"action": "revoked", "sender": {"id": 5, "login": "mona"}},
    "installation_repositories": {
        "action": "added",
        "installation": INSTALLATION,
        "repositories_added": [REPOSITORY],
        "repositories_removed": [{"id": 9}],
    },
    "repository": {"action": "renamed", **OF_REPOSITORY},
    "check_run": {
        "action": "requested_action",
        "check_run": RUN,
        "requested_action": {"identifier": "extract"},
        **OF_REPOSITORY,
    },
    "check_suite": {"action": "rerequested", "check_suite": {"head_sha": SHA, "head_branch": "main"}, **OF_REPOSITORY},
}

Client = TestClient[web.Request, web.Application]


def test_every_event_that_is_handled_is_tried() -> None:
    assert set(PAYLOADS) == set(events._READERS)


def variants(value: Any) -> Iterator[Any]:
    """Copies of a JSON value with one leaf replaced, or one member left out."""
    if isinstance(value, dict):
        for name in value:
            yield {other: value[other] for other in value if other != name}
            yield from ({**value, name: variant} for variant in variants(value[name]))
    elif isinstance(value, list):
        yield from ([variant] for variant in variants(value[0]))
    yield from VALUES if not isinstance(value, str) else [*VALUES, *(value + text for text in TEXTS)]


@pytest_asyncio.fixture
async def client(store: Store) -> AsyncIterator[Client]:
    async def receive(delivery: Delivery) -> None:
        await webhooks.receive(store, delivery.id, delivery.event, delivery.body)

    async with GitHubDouble() as github, ApiClient(github.api_url) as api:
        auth = AppAuth(github.app.id, github.app.private_key_pem, api)
        asking = GitHubClient(api, auth)
        web_app = web.Application(middlewares=[middleware.access_log, middleware.problems], client_max_size=64 << 10)
        web_app[keys.STORE], web_app[keys.GITHUB] = store, asking
        web_app[keys.HEADS] = BranchHeads(Inventory(api, auth, asking))
        web_app[keys.CALLERS] = ServiceCallers(ServiceTokens(["token"]))
        web_app[keys.OBJECTIVE_S], web_app[keys.PUBLIC_URL], web_app[keys.CHECKS] = 60.0, "https://freshet.example", {}
        web_app[keys.NOTIFY] = SubscriptionRules(mail=True, mail_domains=frozenset({"example.com"}))
        web_app[keys.SETUP_ACCESS] = SetupAccess()
        frame.set_up(web_app)
        routes.add(web_app, WebhookEndpoint(SECRET, receive).handle)
        async with TestClient(TestServer(web_app)) as client:
            yield client


async def deliver(client: Client, event: str, body: bytes, id_: str = "72d3162e-cc78-11e3-81ab-4c9367dc0958") -> tuple[int, str]:
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": id_,
        "X-Hub-Signature-256": "sha256=" + hmac.digest(SECRET.encode(), body, "sha256").hex(),
    }
    async with client.post("/api/webhooks/github", data=body, headers=headers) as response:
        return response.status, await response.text()


@pytest.mark.parametrize("event", PAYLOADS)
async def test_no_signed_delivery_is_a_500(client: Client, event: str) -> None:
    statuses = set()
    for number, variant in enumerate(variants(PAYLOADS[event])):
        status, text = await deliver(client, event, json.dumps(variant).encode(), f"delivery-{number}")
        statuses.add(status)
        assert status in (202, 400), f"{variant}: {text}"
    assert statuses == {202, 400}


async def test_an_impossible_value_is_named(client: Client) -> None:
    for changes, field in (
        ({"ref": "refs/heads/a\0b"}, "$.ref"),
        ({"installation": {"id": 2**63}}, "$.installation.id"),
        ({"repository": REPOSITORY | {"id": 2**63}}, "$.repository.id"),
        ({"repository": REPOSITORY | {"full_name": "octo/shop\n"}}, "$.repository.full_name"),
    ):
        status, text = await deliver(client, "push", json.dumps({**PAYLOADS["push"], **changes}).encode())
        assert (status, field in text) == (400, True), text


@pytest.mark.parametrize("header", ["X-GitHub-Delivery", "X-GitHub-Event"])
@pytest.mark.parametrize("value", [b"\xff", b"x" * 4000, "ü".encode(), b"a b", b"a\tb"])
async def test_impossible_headers_of_a_delivery_are_a_400(client: Client, header: str, value: bytes) -> None:
    body = json.dumps(PAYLOADS["push"]).encode()
    given = {
        b"Content-Type": b"application/json",
        b"Content-Length": str(len(body)).encode(),
        b"X-GitHub-Event": b"push",
        b"X-GitHub-Delivery": b"1",
        b"X-Hub-Signature-256": b"sha256=" + hmac.digest(SECRET.encode(), body, "sha256").hex().encode(),
        header.encode(): value,
    }
    answer = await raw(client, b"POST /api/webhooks/github", given, body)
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert header.encode() in answer


async def raw(client: Client, request: bytes, headers: dict[bytes, bytes], body: bytes = b"") -> bytes:
    """Send bytes that no HTTP client would send."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    lines = [request + b" HTTP/1.1", b"Host: x", b"Connection: close", *(name + b": " + value for name, value in headers.items())]
    writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    return answer


async def never(_: web.Request) -> web.Response:
    raise AssertionError


GUARDED = [one for one in operations(never) if one.path.startswith("/api/metadata")]


@pytest.mark.parametrize("operation", GUARDED, ids=lambda one: f"{one.method} {one.path}")
async def test_no_request_to_the_api_is_a_500(client: Client, store: Store, operation: Operation) -> None:
    await store.installations.install(3, "octo", "Organization", "all")
    await store.installations.update_from_push(Repository(7, "octo/shop", 3, "main"))
    connection = await store.connections.create(7, "")
    extraction_id = await store.extractions.enqueue(connection.id, "main", SHA, "push")
    ids = [connection.id, extraction_id, "3", str(2**63), "9" * 18, "%ff", "%ed%a0%80", "{" + connection.id + "}", "x" * 4000]
    path = operation.path.replace("{id}", "{}").replace("{unique_id}", "model.shop.a")
    required = {name: "0" * 40 for name, field in (operation.query.model_fields if operation.query else {}).items() if field.is_required()}
    example: Any = operation.body.model_config.get("json_schema_extra", {}) if operation.body else {}
    body = (example.get("examples") or [{}])[0]
    asked: list[tuple[dict[str, str], Any, str]] = [({}, body, id_) for id_ in (ids if "{}" in path else [""])]
    for name, field in (operation.query.model_fields if operation.query else {}).items():
        kinds = [str(one) for one in (*NUMBERS, "1" * 18, *(text for text in TEXTS if text != "\ud800"), *get_args(field.annotation))]
        asked += [({name: value}, body, id_) for value in kinds for id_ in ids[:3]]
    if operation.body:
        asked += [({}, {**body, name: value}, ids[0]) for name in operation.body.model_fields for value in VALUES]
    for query, sent, id_ in asked:
        data = json.dumps(sent).encode() if operation.body else None
        headers = {"Authorization": "Bearer token"}
        async with client.request(operation.method, path.format(id_), params={**required, **query}, data=data, headers=headers) as response:
            text = await response.text()
            assert response.status < 500 or response.status == 503, f"{query} {sent} {id_}: {text}"


async def test_no_name_in_a_path_is_a_500(client: Client, store: Store) -> None:
    await store.installations.update_from_push(Repository(7, "octo/shop", 3, "main"))
    connection = await store.connections.create(7, "")
    await store.extractions.enqueue(connection.id, "main", SHA, "push")
    extraction = await store.extractions.claim("w", timedelta(minutes=1))
    assert extraction is not None
    async with store.transaction() as tx:
        await tx.lineages.save(extraction, LINEAGE, b"input")
    for operation in GUARDED:
        for text in (*(text for text in TEXTS if text != "\ud800"), "%ff", "model.shop.none"):
            path = operation.path.replace("{id}", connection.id).replace("{unique_id}", quote(text, safe=""))
            if "{unique_id}" in operation.path:
                async with client.request(operation.method, path, headers={"Authorization": "Bearer token"}) as response:
                    assert response.status < 500, f"{path}: {await response.text()}"


async def test_a_directory_and_a_branch_fit_into_the_index(client: Client, store: Store) -> None:
    await store.installations.update_from_push(Repository(7, "octo/shop", 3, "main"))
    connection = await store.connections.create(7, WIDE[:MAX_DIRECTORY], WIDE[:MAX_BRANCH])
    for name in ("project_dir", "branch"):
        path, data, headers = f"/api/metadata/connections/{connection.id}", json.dumps({name: WIDE}), {"Authorization": "Bearer token"}
        async with client.patch(path, data=data, headers=headers) as response:
            assert (response.status, (await response.json(content_type=None))["field"]) == (400, name)


@pytest.mark.parametrize("given", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80"])
async def test_an_address_that_is_not_utf_8_is_a_400_everywhere(client: Client, given: bytes) -> None:
    headers = {b"Authorization": b"Bearer token"}
    paths = [b"/api/metadata/connections", b"/setup", b"/", b"/docs", b"/openapi.json", b"/readyz"]
    for path, place in itertools.product(paths, (b"?owner=" + given, b"?" + given + b"=1", given, b"/" + given)):
        answer = await raw(client, b"GET " + path + place, headers)
        assert answer.split()[1] == b"400", answer
    for path in (b"/api/metadata/connections/", b"/extractions/", b"/assets/", b"/connections/"):
        assert (await raw(client, b"GET " + path + given, headers)).split()[1] == b"400"
