"""The door for deliveries: size, time, signature, headers, shape, in this order."""

from __future__ import annotations

import asyncio
import hmac
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from app.errors import ConfigurationError, DatabaseUnavailableError, FreshetError
from app.github.webhook import Delivery, DeliveryError, WebhookEndpoint, verify

SECRET = "It's a Secret to Everybody"
PAYLOAD = b"Hello, World!"
SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

Client = TestClient[web.Request, web.Application]
Serve = Callable[[WebhookEndpoint], Awaitable[Client]]


def sign(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()


def headers(body: bytes, **changes: str | None) -> dict[str, str]:
    every: dict[str, str | None] = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-Hub-Signature-256": sign(body),
        "X-GitHub-Hook-ID": "292430182",
        "X-GitHub-Hook-Installation-Target-ID": "79929171",
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return {name: value for name, value in every.items() if value is not None}


class Inbox:
    def __init__(self, error: Exception | None = None, delay_s: float = 0.0) -> None:
        self.received: list[Delivery] = []
        self.error = error
        self.delay_s = delay_s

    async def receive(self, delivery: Delivery) -> None:
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        self.received.append(delivery)


@web.middleware
async def problems(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except FreshetError as error:
        return web.json_response({"detail": error.reason}, status=getattr(error, "status", 500))
    return response


@pytest.fixture
async def serve(aiohttp_client: Any) -> Serve:
    async def start(endpoint: WebhookEndpoint) -> Client:
        # The limit of aiohttp is far below what is sent here.
        application = web.Application(middlewares=[problems], client_max_size=16)
        application.router.add_post("/hook", endpoint.handle)
        client: Client = await aiohttp_client(application)
        return client

    return start


def test_githubs_published_test_vector() -> None:
    verify(SECRET.encode(), PAYLOAD, SIGNATURE)


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        SIGNATURE.removeprefix("sha256="),
        SIGNATURE[:-1],
        SIGNATURE.upper(),
        SIGNATURE + "é",
        sign(PAYLOAD, "another secret"),
        "sha1=" + hmac.digest(SECRET.encode(), PAYLOAD, "sha1").hex(),
    ],
)
def test_any_other_signature_is_refused(signature: str | None) -> None:
    with pytest.raises(DeliveryError) as refused:
        verify(SECRET.encode(), PAYLOAD, signature)
    assert refused.value.status == 401
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("secret", ["", "  ", "\n"])
def test_an_empty_secret_is_refused_at_construction(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="GITHUB_WEBHOOK_SECRET"):
        WebhookEndpoint(secret, Inbox().receive)
    with pytest.raises(ConfigurationError):
        verify(b"", PAYLOAD, sign(PAYLOAD, ""))


async def test_a_delivery_is_accepted_whole(serve: Serve) -> None:
    inbox = Inbox()
    client = await serve(WebhookEndpoint(SECRET, inbox.receive))
    body = json.dumps({"ref": "refs/heads/ünï", "filler": "x" * (2 << 20)}).encode()
    response = await client.post("/hook", data=io.BytesIO(body), headers=headers(body))
    assert response.status == 202
    assert (await response.json())["status"] == "accepted"
    expected = Delivery("72d3162e-cc78-11e3-81ab-4c9367dc0958", "push", body, "292430182", "integration", "79929171")
    assert inbox.received == [expected]


async def test_a_form_is_accepted_as_github_sends_it(serve: Serve) -> None:
    inbox = Inbox()
    client = await serve(WebhookEndpoint(SECRET, inbox.receive))
    payload = '{"ref": "refs/heads/a+b&c=ü"}'
    body = urlencode({"payload": payload}).encode()
    response = await client.post("/hook", data=body, headers=headers(body, Content_Type="application/x-www-form-urlencoded"))
    assert response.status == 202
    assert inbox.received[0].body == payload.encode()


@pytest.mark.parametrize(
    ("body", "changes", "status"),
    [
        (b"{}", {"X_Hub_Signature_256": None}, 401),
        (b"{}", {"X_Hub_Signature_256": sign(b"{} ")}, 401),
        (b"not even json", {"X_Hub_Signature_256": None, "X_GitHub_Event": None}, 401),
        (b"{}", {"X_Hub_Signature_256": None, "X_Hub_Signature": "sha1=" + hmac.digest(SECRET.encode(), b"{}", "sha1").hex()}, 401),
        (b"{}", {"X_GitHub_Event": None}, 400),
        (b"{}", {"X_GitHub_Delivery": None}, 400),
        (b"", {}, 400),
        (b"[]", {}, 400),
        (b"null", {}, 400),
        (b'{"a": ', {}, 400),
        (b"\xff\xfe", {}, 400),
        (b'{"a": ' + b"[" * 100_000, {}, 400),
        (b"{}", {"Content_Type": "text/plain"}, 400),
        (b"nothing=1", {"Content_Type": "application/x-www-form-urlencoded"}, 400),
        (b"payload=%5B%5D", {"Content_Type": "application/x-www-form-urlencoded"}, 400),
    ],
)
async def test_what_is_not_a_delivery_is_refused(serve: Serve, body: bytes, changes: dict[str, str | None], status: int) -> None:
    inbox = Inbox()
    client = await serve(WebhookEndpoint(SECRET, inbox.receive))
    response = await client.post("/hook", data=body, headers=headers(body, **changes))
    assert response.status == status
    assert not inbox.received


async def test_too_much_is_refused_by_its_announcement(serve: Serve) -> None:
    client = await serve(WebhookEndpoint(SECRET, Inbox().receive, max_bytes=100))
    body = b" " * 101
    assert (await client.post("/hook", data=body, headers=headers(body))).status == 413


async def test_too_much_is_refused_while_it_comes(serve: Serve) -> None:
    async def chunks() -> Any:
        for _ in range(3):
            yield b" " * 50

    client = await serve(WebhookEndpoint(SECRET, Inbox().receive, max_bytes=100))
    assert (await client.post("/hook", data=chunks(), headers=headers(b""))).status == 413


async def test_a_body_of_exactly_the_limit_is_taken(serve: Serve) -> None:
    client = await serve(WebhookEndpoint(SECRET, Inbox().receive, max_bytes=100))
    body = b"{}" + b" " * 98
    assert (await client.post("/hook", data=body, headers=headers(body))).status == 202


async def test_a_slow_body_is_cut_and_the_connection_closed(aiohttp_server: Any) -> None:
    application = web.Application(middlewares=[problems])
    application.router.add_post("/hook", WebhookEndpoint(SECRET, Inbox().receive, body_timeout_s=0.1).handle)
    server: TestServer = await aiohttp_server(application)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 408")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("error", [DatabaseUnavailableError("storing a delivery", "PostgreSQL does not answer"), TimeoutError()])
async def test_a_delivery_that_cannot_be_stored_is_a_503(serve: Serve, error: Exception) -> None:
    client = await serve(WebhookEndpoint(SECRET, Inbox(error).receive))
    assert (await client.post("/hook", data=b"{}", headers=headers(b"{}"))).status == 503


async def test_storing_that_takes_too_long_is_a_503(serve: Serve) -> None:
    client = await serve(WebhookEndpoint(SECRET, Inbox(delay_s=5).receive, body_timeout_s=0.1))
    assert (await client.post("/hook", data=b"{}", headers=headers(b"{}"))).status == 503


async def test_a_github_that_waits_longer_is_given_longer(serve: Serve) -> None:
    endpoint = WebhookEndpoint(None, Inbox(delay_s=0.3).receive, body_timeout_s=0.1)
    client = await serve(endpoint)
    assert (await client.post("/hook", data=b"{}", headers=headers(b"{}"))).status == 503
    endpoint.configure(SECRET)
    assert (await client.post("/hook", data=b"{}", headers=headers(b"{}"))).status == 503
    endpoint.configure(SECRET, window_s=30)
    assert (await client.post("/hook", data=b"{}", headers=headers(b"{}"))).status == 202


async def test_errors_of_the_payload_pass_through(serve: Serve) -> None:
    class UnreadableError(FreshetError):
        status = 400

    client = await serve(WebhookEndpoint(SECRET, Inbox(UnreadableError("reading a push", "it has no ref")).receive))
    response = await client.post("/hook", data=b"{}", headers=headers(b"{}"))
    assert (response.status, await response.json()) == (400, {"detail": "it has no ref"})


async def test_without_an_app_nothing_is_taken_until_there_is_one(serve: Serve) -> None:
    endpoint = WebhookEndpoint(None, Inbox().receive)
    client = await serve(endpoint)
    assert (await client.post("/hook", data=b"{}", headers=headers(b"{}"))).status == 503
    endpoint.configure(SECRET)
    assert (await client.post("/hook", data=b"{}", headers=headers(b"{}"))).status == 202
