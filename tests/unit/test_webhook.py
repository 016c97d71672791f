"""Webhook deliveries: size, time, signature, headers and shape are checked, in this order."""

from __future__ import annotations

import asyncio
import hmac
import io
import json
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from app.core.errors import ConfigurationError, DatabaseUnavailableError, FreshetError
from app.github.unverified import UnverifiedBodies
from app.github.webhook import Delivery, DeliveryError, WebhookEndpoint, verify
from app.web.http import middleware
from tests.patience import HANGS_S

AWAY = DatabaseUnavailableError("storing a delivery", "PostgreSQL does not answer")
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
        self.attempts = 0
        self.error = error
        self.delay_s = delay_s

    async def receive(self, delivery: Delivery) -> None:
        self.attempts += 1
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        self.received.append(delivery)


@pytest.fixture
async def serve(aiohttp_client: Any) -> Serve:
    async def start(endpoint: WebhookEndpoint) -> Client:
        # aiohttp's own limit is far below these bodies.
        application = web.Application(middlewares=[middleware.problems], client_max_size=16)
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
def test_any_other_signature_is_rejected(signature: str | None) -> None:
    with pytest.raises(DeliveryError) as caught:
        verify(SECRET.encode(), PAYLOAD, signature)
    assert caught.value.status == 401
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("secret", ["", "  ", "\n"])
def test_an_empty_secret_is_rejected_at_construction(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="GITHUB_WEBHOOK_SECRET"):
        WebhookEndpoint(secret, Inbox().receive)
    with pytest.raises(ConfigurationError):
        verify(b"", PAYLOAD, sign(PAYLOAD, ""))


async def test_a_delivery_is_received_unchanged(serve: Serve) -> None:
    inbox = Inbox()
    client = await serve(WebhookEndpoint(SECRET, inbox.receive))
    body = json.dumps({"ref": "refs/heads/ünï", "filler": "x" * (2 << 20)}).encode()
    response = await client.post("/hook", data=io.BytesIO(body), headers=headers(body))
    assert response.status == 202
    assert (await response.json())["status"] == "accepted"
    expected = Delivery("72d3162e-cc78-11e3-81ab-4c9367dc0958", "push", body, "292430182", "integration", "79929171")
    assert inbox.received == [expected]


async def test_a_form_body_is_accepted(serve: Serve) -> None:
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
async def test_an_invalid_delivery_is_rejected(serve: Serve, body: bytes, changes: dict[str, str | None], status: int) -> None:
    inbox = Inbox()
    client = await serve(WebhookEndpoint(SECRET, inbox.receive))
    response = await client.post("/hook", data=body, headers=headers(body, **changes))
    assert response.status == status
    assert not inbox.received


async def test_a_content_length_over_the_limit_is_rejected(serve: Serve) -> None:
    client = await serve(WebhookEndpoint(SECRET, Inbox().receive, max_bytes=100))
    body = b" " * 101
    assert (await client.post("/hook", data=body, headers=headers(body))).status == 413


async def test_a_chunked_body_over_the_limit_is_rejected(serve: Serve) -> None:
    async def chunks() -> Any:
        for _ in range(3):
            yield b" " * 50

    client = await serve(WebhookEndpoint(SECRET, Inbox().receive, max_bytes=100))
    assert (await client.post("/hook", data=chunks(), headers=headers(b""))).status == 413


async def test_a_body_of_exactly_the_limit_is_accepted(serve: Serve) -> None:
    client = await serve(WebhookEndpoint(SECRET, Inbox().receive, max_bytes=100))
    body = b"{}" + b" " * 98
    assert (await client.post("/hook", data=body, headers=headers(body))).status == 202


async def exchange(server: TestServer, sent: bytes) -> bytes:
    """Everything that the server answers until it closes the connection."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(sent)
        return await asyncio.wait_for(reader.read(), HANGS_S)
    finally:
        writer.close()


def request(body: bytes, *, length: int | None = None, **changes: str | None) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers(body, **changes).items()]
    return "\r\n".join(["POST /hook HTTP/1.1", "Host: x", f"Content-Length: {length or len(body)}", *lines, "", ""]).encode()


@pytest.fixture
async def listen(aiohttp_server: Any) -> Callable[[WebhookEndpoint], Awaitable[TestServer]]:
    """Starts a server that reads the rest of a refused body for no longer than a moment."""

    async def start(endpoint: WebhookEndpoint) -> TestServer:
        application = web.Application(middlewares=[middleware.problems])
        application.router.add_post("/hook", endpoint.handle)
        server: TestServer = await aiohttp_server(application, lingering_time=0.1)
        return server

    return start


async def test_a_slow_body_times_out_and_the_connection_is_closed(listen: Any) -> None:
    server = await listen(WebhookEndpoint(SECRET, Inbox().receive, body_timeout_s=0.1))
    answer = await exchange(server, request(b"{}", length=1000) + b"{")
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"Connection: close" in answer


MALFORMED = [None, "", "sha256=", "sha256=" + "z" * 64, sign(b"{}").upper(), sign(b"{}") + "\udcff", "sha1=" + "0" * 40]


@pytest.mark.parametrize("signature", MALFORMED)
async def test_without_a_signature_the_body_is_not_read(listen: Any, signature: str | None) -> None:
    server = await listen(WebhookEndpoint(SECRET, Inbox().receive))
    head = request(b"{}", length=24 << 20, X_Hub_Signature_256=None).removesuffix(b"\r\n")
    line = b"" if signature is None else b"X-Hub-Signature-256: " + signature.encode("utf-8", "surrogateescape") + b"\r\n"
    answer = await exchange(server, head + line + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 401"), "although nothing of the body has arrived"
    assert b"Connection: close" in answer


async def test_after_a_413_the_connection_is_closed(listen: Any) -> None:
    server = await listen(WebhookEndpoint(SECRET, Inbox().receive, max_bytes=100))
    body = b" " * 5000
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"
    for sent in (request(body) + body[:200], request(body).replace(b"Content-Length: 5000", b"Transfer-Encoding: chunked") + chunk):
        answer = await exchange(server, sent)
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"Connection: close" in answer


async def test_a_delivery_on_a_connection_after_a_413_is_whole(serve: Serve) -> None:
    inbox = Inbox()
    client = await serve(WebhookEndpoint(SECRET, inbox.receive, max_bytes=3 << 20))
    for number in range(3):
        big, whole = b" " * (4 << 20), json.dumps({"filler": "x" * (2 << 20), "number": number}).encode()
        response = await client.post("/hook", data=io.BytesIO(big), headers=headers(big))
        assert (response.status, (await response.json(content_type=None))["status"]) == (413, 413)
        response = await client.post("/hook", data=io.BytesIO(whole), headers=headers(whole))
        assert response.status == 202
    assert len(inbox.received) == 3


class Hogs:
    """Bodies that begin and do not end."""

    def __init__(self, client: Client, bodies: UnverifiedBodies) -> None:
        self._client, self._bodies = client, bodies
        self.answers: list[asyncio.Task[Any]] = []
        self._release = asyncio.Event()

    async def begin(self, size: int) -> None:
        """Send so many bytes of another one."""

        async def slow() -> Any:
            yield bytes(size)
            await self._release.wait()
            yield b" "

        used = self._bodies.used
        self.answers.append(asyncio.create_task(self._client.post("/hook", data=slow(), headers=headers(b"never sent"))))
        async with asyncio.timeout(HANGS_S):
            while self._bodies.used < used + size and not any(answer.done() for answer in self.answers):
                await asyncio.sleep(0.01)

    async def end(self) -> list[int]:
        """The statuses of all."""
        self._release.set()
        return [(await answer).status for answer in self.answers]


@pytest.mark.parametrize("in_memory", [0, 1 << 20])
async def test_unverified_bodies_are_limited_in_sum_and_others_get_through(serve: Serve, tmp_path: Path, in_memory: int) -> None:
    inbox = Inbox()
    bodies = UnverifiedBodies(tmp_path, limit=1 << 20, in_memory=in_memory)
    client = await serve(WebhookEndpoint(SECRET, inbox.receive, bodies=bodies))
    hogs = Hogs(client, bodies)
    for size in (100, 450 << 10, 450 << 10):
        await hogs.begin(size)
    big = json.dumps({"filler": "x" * (300 << 10)}).encode()
    assert (await client.post("/hook", data=big, headers=headers(big))).status == 202
    assert inbox.received[-1].body == big
    assert (await client.post("/hook", data=b"{}", headers=headers(b"{}"))).status == 202
    assert await hogs.end() == [401, 503, 401], "the oldest of those that take more than the average gave way"
    assert (await hogs.answers[1]).headers["Retry-After"] == "5"
    assert (bodies.used, bodies._in_memory, list(tmp_path.iterdir())) == (0, 0, [])


async def test_a_body_that_is_larger_than_the_room_is_refused(serve: Serve, tmp_path: Path) -> None:
    client = await serve(WebhookEndpoint(SECRET, Inbox().receive, bodies=UnverifiedBodies(tmp_path, limit=1 << 20)))
    body = bytes(2 << 20)
    assert (await client.post("/hook", data=io.BytesIO(body), headers=headers(body))).status == 503


async def test_unsigned_and_wrongly_signed_bodies_take_no_memory(serve: Serve, tmp_path: Path) -> None:
    client = await serve(WebhookEndpoint(SECRET, Inbox().receive, bodies=UnverifiedBodies(tmp_path, in_memory=1 << 20)))
    body, statuses = bytes(24 << 20), []

    async def post(signature: str | None) -> None:
        async def chunks() -> Any:
            for start in range(0, len(body), 64 << 10):
                yield memoryview(body)[start : start + (64 << 10)]

        with suppress(aiohttp.ClientError):
            response = await client.post("/hook", data=chunks(), headers=headers(b"", X_Hub_Signature_256=signature))
            statuses.append(response.status)

    tracemalloc.start()
    await asyncio.gather(*(post(signature) for signature in [None, "sha256=" + "0" * 64] * 10))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert statuses
    assert set(statuses) <= {401, 503}
    assert peak < 24 << 20, "twenty bodies of 24 MiB take less than one"


@pytest.mark.parametrize("error", [AWAY, TimeoutError()])
async def test_a_delivery_that_cannot_be_stored_is_a_503(serve: Serve, error: Exception) -> None:
    client = await serve(WebhookEndpoint(SECRET, Inbox(error).receive, body_timeout_s=0.5))
    response = await client.post("/hook", data=b"{}", headers=headers(b"{}"))
    assert (response.status, response.headers["Retry-After"]) == (503, "5")


async def test_a_delivery_waits_for_a_database_that_comes_back_in_time(serve: Serve) -> None:
    inbox = Inbox(AWAY)
    client = await serve(WebhookEndpoint(SECRET, inbox.receive, body_timeout_s=HANGS_S))
    answer = asyncio.create_task(client.post("/hook", data=b"{}", headers=headers(b"{}")))
    while not inbox.attempts:
        await asyncio.sleep(0.01)
    inbox.error = None
    assert (await answer).status == 202
    assert len(inbox.received) == 1


async def test_slow_storing_is_a_503(serve: Serve) -> None:
    client = await serve(WebhookEndpoint(SECRET, Inbox(delay_s=5).receive, body_timeout_s=0.1))
    assert (await client.post("/hook", data=b"{}", headers=headers(b"{}"))).status == 503


async def test_errors_of_the_payload_pass_through(serve: Serve) -> None:
    class UnreadableError(FreshetError):
        status = 400

    client = await serve(WebhookEndpoint(SECRET, Inbox(UnreadableError("reading a push", "it has no ref")).receive))
    response = await client.post("/hook", data=b"{}", headers=headers(b"{}"))
    answer = await response.json(content_type=None)
    assert (response.status, answer["detail"]) == (400, "While reading a push: it has no ref.")


async def test_deliveries_are_rejected_until_there_is_an_app(serve: Serve) -> None:
    endpoint = WebhookEndpoint(None, Inbox().receive)
    client = await serve(endpoint)
    assert (await client.post("/hook", data=b"{}", headers=headers(b"{}"))).status == 503
    endpoint.configure(SECRET)
    assert (await client.post("/hook", data=b"{}", headers=headers(b"{}"))).status == 202
