"""Webhooks to strangers' addresses, signed as GitHub signs its own.

https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries. What is answered is not read: its status is enough. No
redirect is followed, since where it leads is not what was subscribed to.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from http import HTTPStatus
from types import TracebackType
from typing import Self

import aiohttp
import orjson
from yarl import URL

from app.deps.addresses import Address, check, shown
from app.errors import FreshetError, GoneError, RejectedAddressError, UnavailableError, UndeliverableError
from app.notices import HOSTS_VARIABLE, Message
from app.outward import proxy_of, session
from app.resolve import Lookup, lookup

TOTAL_S = 20.0
MAX_WAIT_S = 3600.0
DOING = "sending a webhook"


class Webhooks:
    """Posts messages (`app.ports.Channel`). An async context manager: it holds the connections."""

    def __init__(self, hosts: Collection[str] = (), *, total_s: float = TOTAL_S, ask: Lookup = lookup) -> None:
        """Go to public hosts, and to the operator's `hosts` (see `addresses.configured`); `ask` looks names up."""
        self._hosts = frozenset(hosts)
        self._total_s = total_s
        self._ask = ask
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the pool of connections."""
        self._session = session(self._hosts, total_s=self._total_s, ask=self._ask, variable=HOSTS_VARIABLE)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connections."""
        open_session, self._session = self._session, None
        if open_session is not None:
            await open_session.close()

    async def send(self, message: Message, to: str, secret: str | None) -> None:
        """Post a message. Raises UndeliverableError or UnavailableError, whose words hold no more of the address than its host."""
        try:
            address = check(to, self._hosts, DOING, HOSTS_VARIABLE)
        except RejectedAddressError as error:
            raise UndeliverableError(DOING, error.reason.replace(shown(to), "its address"), error.next_step) from None
        body = orjson.dumps(message.document)
        try:
            status, asked_s = await self._post(address, body, headers(message, body, secret))
        except RejectedAddressError as error:
            raise UndeliverableError(DOING, error.reason, error.next_step) from None
        except GoneError as error:
            raise UnavailableError(DOING, error.reason) from error
        except TimeoutError as error:
            raise UnavailableError(DOING, f"{address.host} did not answer within {self._total_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UnavailableError(DOING, f"the connection to {address.host} broke ({type(error).__name__})") from None
        if refusal := _refusal(status, address.host, asked_s):
            raise refusal

    async def _post(self, address: Address, body: bytes, sent: dict[str, str]) -> tuple[int, float | None]:
        """Return the status, and the seconds that whoever answers asks us to wait."""
        if self._session is None:
            message = "Webhooks is used outside its context"
            raise RuntimeError(message)
        url = URL(address.url, encoded=True)
        async with self._session.post(url, data=body, headers=sent, proxy=proxy_of(address), allow_redirects=False) as response:
            asked = response.headers.get("retry-after", "")
            response.close()
            return response.status, min(float(asked), MAX_WAIT_S) if asked.isascii() and asked.isdecimal() else None


def headers(message: Message, body: bytes, secret: str | None) -> dict[str, str]:
    """Return the headers of a delivery; the id is the same however often it is tried."""
    found = {"Content-Type": "application/json", "X-Freshet-Event": message.event, "X-Freshet-Delivery": message.id}
    if secret:
        found["X-Hub-Signature-256"] = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
    return found


def _refusal(status: int, host: str, asked_s: float | None) -> FreshetError | None:
    """Return the error of an answer, None for a good one. What is wrong at the other end may be mended within the day."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    said = f"{host} answered with {status}"
    if status == HTTPStatus.GONE:
        return UndeliverableError(DOING, said, gone=True)
    return UnavailableError(DOING, said, retry_after_s=asked_s)
