"""Webhooks over real sockets: signed like GitHub's, sent to public addresses only, and never held up by a slow receiver."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from aiohttp import web

from app.core.errors import UnavailableError, UndeliverableError
from app.core.models.notifications import Message
from app.notifications.channels.webhook import WebhookChannel
from tests.integration.notify_world import Receiver, receiver

MESSAGE = Message(
    "9d6f0c5e", "s.c", "failure", datetime(2026, 11, 2, 9, tzinfo=UTC), "subject", "text", {"event": "failure", "text": "näme → <x>"}
)
SECRET = "a-secret-of-the-subscription"


@pytest_asyncio.fixture
async def receiving() -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


async def test_the_signature_covers_the_raw_body(receiving: Receiver) -> None:
    async with WebhookChannel([receiving.host]) as webhooks:
        await webhooks.send(MESSAGE, receiving.url, SECRET)
    [taken] = receiving.taken
    assert taken.headers["X-Hub-Signature-256"] == f"sha256={hmac.new(SECRET.encode(), taken.raw, hashlib.sha256).hexdigest()}"
    assert taken.headers["Content-Type"] == "application/json"
    assert (taken.headers["X-Freshet-Event"], taken.headers["X-Freshet-Delivery"]) == ("failure", "9d6f0c5e")
    assert taken.headers["User-Agent"] == "freshet"
    assert json.loads(taken.raw) == MESSAGE.document


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 408, 429, 500, 503])
async def test_other_statuses_than_success_are_retried(receiving: Receiver, status: int) -> None:
    elsewhere = {"Location": f"http://{receiving.host}/elsewhere", "Retry-After": "7"}
    receiving.answers = [web.Response(status=status, headers=elsewhere)]
    async with WebhookChannel([receiving.host]) as webhooks:
        with pytest.raises(UnavailableError, match=f"answered with {status}") as caught:
            await webhooks.send(MESSAGE, receiving.url, SECRET)
    assert caught.value.retry_after_s == 7
    assert len(receiving.taken) == 1, "no redirect is followed"
    assert "a-secret-of-the-receiver" not in str(caught.value)


async def test_410_gone_is_permanent(receiving: Receiver) -> None:
    receiving.answers = [web.Response(status=410)]
    async with WebhookChannel([receiving.host]) as webhooks:
        with pytest.raises(UndeliverableError) as caught:
            await webhooks.send(MESSAGE, receiving.url, SECRET)
    assert caught.value.gone


async def test_the_response_body_is_not_read(receiving: Receiver) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1 << 16)

    receiving.answers = [web.Response(body=endless())]
    async with WebhookChannel([receiving.host]) as webhooks:
        await webhooks.send(MESSAGE, receiving.url, SECRET)


async def test_a_silent_receiver_times_out() -> None:
    async def never(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, WebhookChannel([f"127.0.0.1:{port}"], total_s=0.3) as webhooks:
        with pytest.raises(UnavailableError, match=r"did not answer within 0\.3 s"):
            await webhooks.send(MESSAGE, f"http://127.0.0.1:{port}/x", SECRET)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/secret-path",
        "https://localhost/secret-path",
        "https://127.0.0.1/secret-path",
        "https://169.254.169.254/secret-path",
        "https://[::1]/secret-path",
        "https://hooks.example.com:8443/secret-path",
        "https://user:secret-path@hooks.example.com/",
        "file:///secret-path",
    ],
)
async def test_urls_into_the_operators_network_are_refused(url: str) -> None:
    async with WebhookChannel() as webhooks:
        with pytest.raises(UndeliverableError) as caught:
            await webhooks.send(MESSAGE, url, SECRET)
    assert "secret-path" not in caught.value.user_text
    assert "FRESHET_PACKAGE_HOSTS" not in caught.value.user_text


async def test_a_name_that_resolves_to_a_private_address_is_refused_when_connecting() -> None:
    async def inside(_host: str, _port: int) -> Sequence[str]:
        return ["10.0.0.1"]

    async with WebhookChannel(ask=inside) as webhooks:
        with pytest.raises(UndeliverableError, match="private network") as caught:
            await webhooks.send(MESSAGE, "https://hooks.example.com/secret-path", SECRET)
    assert "hooks.example.com to FRESHET_NOTIFY_HOSTS" in caught.value.next_step
    assert "secret-path" not in caught.value.user_text


async def test_an_unknown_host_is_retried() -> None:
    async def nowhere(_host: str, _port: int) -> Sequence[str]:
        return []

    async with WebhookChannel(ask=nowhere) as webhooks:
        with pytest.raises(UnavailableError, match="does not exist"):
            await webhooks.send(MESSAGE, "https://hooks.example.com/x", SECRET)


async def test_an_unreachable_receiver_is_retried() -> None:
    async with WebhookChannel(["127.0.0.1"]) as webhooks:
        with pytest.raises(UnavailableError, match="failed"):
            await webhooks.send(MESSAGE, "http://127.0.0.1:1/x", SECRET)
