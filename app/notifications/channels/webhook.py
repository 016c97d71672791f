"""Webhooks to addresses that users entered, signed as GitHub signs its own.

https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries. Only the status of the response is read. Redirects are not
followed, because they lead to an address that nobody subscribed.
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

from app.core.egress.addresses import Address, check, shown
from app.core.egress.resolver import Lookup, lookup
from app.core.egress.session import proxy_of, session
from app.core.errors import FreshetError, GoneError, RejectedAddressError, UnavailableError, UndeliverableError
from app.core.models.notifications import Message
from app.notifications.rules import HOSTS_VARIABLE

TOTAL_S = 20.0
MAX_WAIT_S = 3600.0
DOING = "sending a webhook"


class WebhookChannel:
    """Posts messages (implements `notifications.ports.Channel`). An async context manager: it holds the connections."""

    def __init__(self, hosts: Collection[str] = (), *, total_s: float = TOTAL_S, ask: Lookup = lookup) -> None:
        """Only public hosts and the operator's `hosts` (see `addresses.configured`) are reached; `ask` resolves names."""
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
        """Post a message. Raises UndeliverableError or UnavailableError, with no more of the address than its host."""
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
            raise UnavailableError(DOING, f"the connection to {address.host} failed ({type(error).__name__})") from None
        if refusal := _refusal(status, address.host, asked_s):
            raise refusal

    async def _post(self, address: Address, body: bytes, sent: dict[str, str]) -> tuple[int, float | None]:
        """The status, and the seconds in `Retry-After`, at most an hour."""
        if self._session is None:
            message = "WebhookChannel is used outside its context"
            raise RuntimeError(message)
        url = URL(address.url, encoded=True)
        async with self._session.post(url, data=body, headers=sent, proxy=proxy_of(address), allow_redirects=False) as response:
            asked = response.headers.get("retry-after", "")
            response.close()
            return response.status, min(float(asked), MAX_WAIT_S) if asked.isascii() and asked.isdecimal() else None


def headers(message: Message, body: bytes, secret: str | None) -> dict[str, str]:
    """The headers of a delivery; the id is the same for every attempt."""
    fields = {"Content-Type": "application/json", "X-Freshet-Event": message.event, "X-Freshet-Delivery": message.id}
    if secret:
        fields["X-Hub-Signature-256"] = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
    return fields


def _refusal(status: int, host: str, asked_s: float | None) -> FreshetError | None:
    """The error for a status; None for a success. Everything but 410 is retried: the receiver may be fixed within the day."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    reason = f"{host} answered with {status}"
    if status == HTTPStatus.GONE:
        return UndeliverableError(DOING, reason, gone=True)
    return UnavailableError(DOING, reason, retry_after_s=asked_s)
