"""Notifications by the API: who may have whom told, and that secrets are told once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient

from app.core.models.callers import Caller, Right
from app.core.models.github import Repository
from app.notifications.rules import SubscriptionRules
from app.pipeline import leases
from app.store import Store
from app.web import keys, routes
from app.web.api.notifications import MAX_NOTIFICATIONS
from app.web.http import middleware
from app.web.pages import frame
from tests.integration.notify_world import Project, project

RULES = SubscriptionRules(mail=True, mail_domains=frozenset({"example.com"}), hosts=frozenset({"chat.corp"}))
HOOK = {"kind": "webhook", "to": "https://hooks.example.com/services/T0/B0/secret-path-1234"}
MAIL = {"kind": "email", "to": "ann@example.com"}
Client = TestClient[web.Request, web.Application]


@dataclass(frozen=True)
class Person:
    """Somebody with rights on every repository (`app.pipeline.ports.Caller`)."""

    key: str
    everything: bool
    rights: Sequence[str]

    async def may(self, right: Right, repository: Repository) -> bool:
        return right in self.rights and repository.id == 7

    async def listed(self) -> None:
        return


PEOPLE = {
    "service": Person("service", everything=True, rights=("read", "push")),
    "push": Person("push", everything=False, rights=("read", "push")),
    "read": Person("read", everything=False, rights=("read",)),
    "stranger": Person("stranger", everything=False, rights=()),
}


class People:
    async def find(self, token: str) -> Caller | None:
        return PEOPLE.get(token)


@dataclass
class Api:
    """Asks as somebody."""

    client: Client
    of: Project

    async def ask(self, method: str, path: str, status: int, body: Any = None, *, as_: str = "push") -> Any:
        headers = {"Authorization": f"Bearer {as_}"}
        async with self.client.request(method, f"/api/metadata{path}", json=body, headers=headers) as response:
            answer = await response.json(content_type=None) if response.status != 204 else None
            assert response.status == status, answer
            return answer

    @property
    def path(self) -> str:
        return f"/connections/{self.of.connection.id}/notifications"

    async def make(self, body: Any = None, *, as_: str = "push") -> Any:
        return await self.ask("POST", self.path, 201, body or HOOK, as_=as_)


async def webhook(_: web.Request) -> web.Response:
    return web.Response()


@pytest_asyncio.fixture
async def api(store: Store, aiohttp_client: Any) -> AsyncIterator[Api]:
    web_app = web.Application(middlewares=[middleware.access_log, middleware.problems])
    web_app[keys.STORE] = store
    web_app[keys.CALLERS] = People()
    web_app[keys.NOTIFY] = RULES
    frame.set_up(web_app)
    routes.add(web_app, webhook)
    yield Api(await aiohttp_client(web_app), await project(store))


async def test_a_webhook_is_made_shown_changed_and_ended(api: Api) -> None:
    made = await api.make()
    assert len(made.pop("secret")) == 32
    assert made["events"] == ["failure", "recovery", "stale"]
    assert (made["connection_id"], made["installation_id"], made["paused"], made["last"]) == (api.of.connection.id, None, False, None)
    one = f"/notifications/{made['id']}"
    assert await api.ask("GET", one, 200) == made
    assert await api.ask("GET", api.path, 200) == {"items": [made], "next_cursor": None}
    changed = await api.ask("PATCH", one, 200, {"events": ["recovery", "failure", "failure"], "paused": True})
    assert (changed["events"], changed["paused"]) == (["failure", "recovery"], True)
    assert await api.ask("PATCH", one, 200, {}) == changed
    await api.ask("DELETE", one, 204)
    await api.ask("GET", one, 404)
    assert (await api.ask("GET", api.path, 200))["items"] == []


async def test_a_secret_is_told_once_and_an_address_never_in_full(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    made = await api.make({**HOOK, "secret": "chosen-by-somebody"})
    assert made["secret"] == "chosen-by-somebody"
    one = f"/notifications/{made['id']}"
    shown = [await api.ask("GET", one, 200), await api.ask("GET", api.path, 200), await api.ask("PATCH", one, 200, {"secret": "x" * 16})]
    assert "chosen-by-somebody" not in str(shown)
    assert "secret-path" not in str([made, *shown]) + capsys.readouterr().err
    problem = await api.ask("POST", api.path, 400, {**HOOK, "secret": "t0o-short"})
    assert problem["field"] == "secret"
    assert "t0o-short" not in str(problem)


async def test_mail_has_no_secret(api: Api) -> None:
    made = await api.make(MAIL)
    assert (made["secret"], made["to"]) == (None, "ann@example.com")
    assert (await api.ask("POST", api.path, 400, {**MAIL, "secret": "x" * 16}))["field"] == "secret"
    assert (await api.ask("PATCH", f"/notifications/{made['id']}", 400, {"secret": "x" * 16}))["field"] == "secret"


async def test_who_may_have_whom_told(api: Api) -> None:
    made = await api.make()
    one = f"/notifications/{made['id']}"
    for method, path, body in (
        ("GET", api.path, None),
        ("POST", api.path, MAIL),
        ("GET", one, None),
        ("PATCH", one, {}),
        ("DELETE", one, None),
    ):
        await api.ask(method, path, 403, body, as_="read")
        await api.ask(method, path, 404, body, as_="stranger")
    await api.ask("POST", f"{one}/test", 403, as_="read")
    await api.ask("GET", one, 200, as_="service")


async def test_an_installation_is_the_operators(api: Api) -> None:
    path = "/installations/3/notifications"
    for method in ("GET", "POST"):
        await api.ask(method, path, 403, HOOK if method == "POST" else None)
    made = await api.ask("POST", path, 201, HOOK, as_="service")
    assert (made["connection_id"], made["installation_id"]) == (None, "3")
    assert len((await api.ask("GET", path, 200, as_="service"))["items"]) == 1
    await api.ask("GET", f"/notifications/{made['id']}", 404)
    await api.ask("GET", f"/notifications/{made['id']}", 200, as_="service")
    for id_ in ("4", "0", "x", "9" * 18, "9" * 40, "%D9%A3", "-3"):
        await api.ask("POST", f"/installations/{id_}/notifications", 404, HOOK, as_="service")


async def test_what_the_operator_does_not_allow(api: Api) -> None:
    for to in ("https://localhost/x", "http://hooks.example.com/x", "https://10.0.0.1/x", "https://hooks.example.com:8443/x"):
        problem = await api.ask("POST", api.path, 403, {"kind": "webhook", "to": to}, as_="service")
        assert problem["field"] == "to"
    assert "FRESHET_NOTIFY_HOSTS" in problem["detail"]
    await api.make({"kind": "webhook", "to": "http://chat.corp:8065/hooks/x"})
    problem = await api.ask("POST", api.path, 403, {"kind": "email", "to": "eve@elsewhere.net"})
    assert problem["field"] == "to"
    assert "FRESHET_MAIL_DOMAINS" in problem["detail"]
    await api.make({"kind": "email", "to": "eve@elsewhere.net"}, as_="service")


async def test_without_a_mail_server_there_is_no_mail(api: Api, store: Store, aiohttp_client: Any) -> None:
    web_app = web.Application(middlewares=[middleware.problems])
    web_app[keys.STORE], web_app[keys.CALLERS], web_app[keys.NOTIFY] = store, People(), SubscriptionRules()
    frame.set_up(web_app)
    routes.add(web_app, webhook)
    problem = await Api(await aiohttp_client(web_app), api.of).ask("POST", api.path, 409, MAIL, as_="service")
    assert "FRESHET_SMTP_URL" in problem["detail"]


async def test_one_address_is_told_once_and_there_is_an_end_to_them(api: Api) -> None:
    await api.make()
    assert (await api.ask("POST", api.path, 409, HOOK))["title"] == "Notification already exists"
    for number in range(MAX_NOTIFICATIONS - 1):
        await api.make({**HOOK, "to": f"{HOOK['to']}{number}"})
    assert (await api.ask("POST", api.path, 409, MAIL))["title"] == "Too many notifications"


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("kind", {}),
        ("kind", {"kind": "pigeon", "to": "x"}),
        ("to", {"kind": "email"}),
        ("to", {"kind": "email", "to": "ann@example.com\r\nBcc: eve@example.net"}),
        ("to", {"kind": "email", "to": "https://hooks.example.com"}),
        ("to", {"kind": "webhook", "to": "ann@example.com"}),
        ("to", {"kind": "webhook", "to": "https://hooks.example.com/a b"}),
        ("to", {"kind": "webhook", "to": "https://hooks.example.com/" + "x" * 2000}),
        ("to", {"kind": "webhook", "to": "https://hooks.example.com/\0"}),
        ("events", {**HOOK, "events": []}),
        ("events.0", {**HOOK, "events": ["success"]}),
        ("secret", {**HOOK, "secret": "ü" * 20}),
        ("secret", {**HOOK, "secret": "a" * 16 + "\n"}),
        ("told", {**HOOK, "told": 1}),
    ],
)
async def test_what_is_wrong_is_named(api: Api, field: str, body: Any) -> None:
    assert (await api.ask("POST", api.path, 400, body))["field"] == field


@pytest.mark.parametrize(("field", "body"), [("paused", {"paused": 0}), ("events", {"events": "failure"}), ("to", {"to": HOOK["to"]})])
async def test_what_is_wrong_with_a_change_is_named(api: Api, field: str, body: Any) -> None:
    made = await api.make()
    assert (await api.ask("PATCH", f"/notifications/{made['id']}", 400, body))["field"] == field


async def test_a_test_is_queued_once_a_minute(api: Api, store: Store) -> None:
    made = await api.make()
    queued = await api.ask("POST", f"/notifications/{made['id']}/test", 202)
    due = await store.notifications.claim(leases.MESSAGE_LEASE)
    assert due is not None
    assert (due.id, due.event, due.secret) == (queued["delivery_id"], "test", made["secret"])
    assert (await api.ask("POST", f"/notifications/{made['id']}/test", 429))["title"] == "Too many test messages"
    await api.ask("POST", f"/notifications/{uuid4()}/test", 404)
