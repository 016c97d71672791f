"""Webhooks over real sockets: signed as GitHub's are, to public addresses only, and whatever the receiver does, it holds nobody up."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from aiohttp import web

from app.errors import UnavailableError, UndeliverableError
from app.notices import Message
from app.notify.webhook import Webhooks
from tests.integration.notify_world import Receiver, receiver

MESSAGE = Message(
    "9d6f0c5e", "s.c", "failure", datetime(2026, 11, 2, 9, tzinfo=UTC), "subject", "text", {"event": "failure", "text": "näme → <x>"}
)
SECRET = "a-secret-of-the-subscription"


@pytest_asyncio.fixture
async def receiving() -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


async def test_it_is_signed_over_the_bytes_that_arrive(receiving: Receiver) -> None:
    async with Webhooks([receiving.host]) as webhooks:
        await webhooks.send(MESSAGE, receiving.url, SECRET)
    [taken] = receiving.taken
    assert taken.headers["X-Hub-Signature-256"] == f"sha256={hmac.new(SECRET.encode(), taken.raw, hashlib.sha256).hexdigest()}"
    assert taken.headers["Content-Type"] == "application/json"
    assert (taken.headers["X-Freshet-Event"], taken.headers["X-Freshet-Delivery"]) == ("failure", "9d6f0c5e")
    assert taken.headers["User-Agent"] == "freshet"
    assert json.loads(taken.raw) == MESSAGE.document


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 408, 429, 500, 503])
async def test_all_but_a_success_is_tried_again(receiving: Receiver, status: int) -> None:
    elsewhere = {"Location": f"http://{receiving.host}/elsewhere", "Retry-After": "7"}
    receiving.answers = [web.Response(status=status, headers=elsewhere)]
    async with Webhooks([receiving.host]) as webhooks:
        with pytest.raises(UnavailableError, match=f"answered with {status}") as caught:
            await webhooks.send(MESSAGE, receiving.url, SECRET)
    assert caught.value.retry_after_s == 7
    assert len(receiving.taken) == 1, "no redirect is followed"
    assert "a-secret-of-the-receiver" not in str(caught.value)


async def test_who_is_gone_wants_no_more(receiving: Receiver) -> None:
    receiving.answers = [web.Response(status=410)]
    async with Webhooks([receiving.host]) as webhooks:
        with pytest.raises(UndeliverableError) as caught:
            await webhooks.send(MESSAGE, receiving.url, SECRET)
    assert caught.value.gone


async def test_an_answer_without_an_end_is_not_read(receiving: Receiver) -> None:
    receiving.answers = [web.Response(body=b"x" * (64 << 20))]
    async with Webhooks([receiving.host]) as webhooks:
        began = time.monotonic()
        await webhooks.send(MESSAGE, receiving.url, SECRET)
    assert time.monotonic() - began < 2


async def test_silence_ends() -> None:
    async def never(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Webhooks([f"127.0.0.1:{port}"], total_s=0.3) as webhooks:
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
async def test_no_webhook_goes_into_the_operators_network(url: str) -> None:
    async with Webhooks() as webhooks:
        with pytest.raises(UndeliverableError) as caught:
            await webhooks.send(MESSAGE, url, SECRET)
    assert "secret-path" not in caught.value.user_text
    assert "FRESHET_PACKAGE_HOSTS" not in caught.value.user_text


async def test_a_name_that_leads_into_a_private_network_is_refused_when_it_is_connected_to() -> None:
    async def inside(_host: str, _port: int) -> Sequence[str]:
        return ["10.0.0.1"]

    async with Webhooks(ask=inside) as webhooks:
        with pytest.raises(UndeliverableError, match="private network") as caught:
            await webhooks.send(MESSAGE, "https://hooks.example.com/secret-path", SECRET)
    assert "hooks.example.com to FRESHET_NOTIFY_HOSTS" in caught.value.next_step
    assert "secret-path" not in caught.value.user_text


async def test_a_name_that_nobody_knows_may_be_known_tomorrow() -> None:
    async def nowhere(_host: str, _port: int) -> Sequence[str]:
        return []

    async with Webhooks(ask=nowhere) as webhooks:
        with pytest.raises(UnavailableError, match="there is no host"):
            await webhooks.send(MESSAGE, "https://hooks.example.com/x", SECRET)


async def test_a_receiver_that_is_not_there_may_come_back() -> None:
    async with Webhooks(["127.0.0.1"]) as webhooks:
        with pytest.raises(UnavailableError, match="broke"):
            await webhooks.send(MESSAGE, "http://127.0.0.1:1/x", SECRET)
