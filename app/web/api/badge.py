"""The badge of a connection, for READMEs: open where the repository is public, else for those who have its signed address.

GitHub shows pictures of READMEs through a proxy that sends no token and keeps what it may keep:
https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-anonymized-urls
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from aiohttp import web

from app.jobs import Connection
from app.storage import Store
from app.web import requests
from app.web.call import Call
from app.web.keys import PUBLIC_URL
from app.web.models.badge import BadgeQuery, BadgeView
from app.web.operations import API, NoQuery, Operation
from app.web.problems import Problem
from app.wording.badge import LABEL, badge, svg

KEY = "badge"
SIGNATURE_BYTES = 16
HEADERS = {"Cache-Control": "public, max-age=60", "Access-Control-Allow-Origin": "*"}


async def get_badge(call: Call[NoQuery, None]) -> BadgeView:
    """Return where the badge is. A public repository's address needs no signature, and works for as long as it is public."""
    connection = await call.connection()
    url = f"{call.request.app[PUBLIC_URL]}/connections/{connection.id}/badge.svg"
    if connection.repository.private:
        url += f"?signature={await sign(call.store, connection)}"
    return BadgeView(url=url, markdown=f"![{LABEL}]({url})", signed=connection.repository.private)


async def show_badge(call: Call[BadgeQuery, None]) -> web.Response:
    """Return the picture. What is not there and what is not open are told apart by nobody."""
    connection = await _found(call)
    if connection is None or not await _open(call, connection):
        raise Problem(404, "Not found", "There is no such badge, or its address is not signed as it has to be.")
    picture = svg(badge(connection)).encode()
    headers = {**HEADERS, "ETag": f'"{hashlib.sha256(picture).hexdigest()[:32]}"'}
    if any(f'"{known.value}"' == headers["ETag"] or known.value == "*" for known in call.request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=picture, headers=headers, content_type="image/svg+xml", charset="utf-8")


async def sign(store: Store, connection: Connection) -> str:
    """Return what opens the badge of a connection: for ever, until the connection is removed or the key `badge` deleted."""
    text = f"{connection.id} {connection.signed_series}"
    digest = hmac.digest(await store.keys.of(KEY), text.encode(), "sha256")[:SIGNATURE_BYTES]
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


async def _found(call: Call[BadgeQuery, None]) -> Connection | None:
    try:
        id_ = requests.path_id(call.request, "badge")
    except Problem:
        return None
    return await call.store.connections.get(id_)


async def _open(call: Call[BadgeQuery, None], connection: Connection) -> bool:
    if not connection.repository.private:
        return True
    given = call.query.signature
    return given is not None and hmac.compare_digest(given.encode(), (await sign(call.store, connection)).encode())


OPERATIONS = (
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}/badge",
        handler=get_badge,
        summary="Where the badge for READMEs is; of a private repository the address is signed",
        tag="connections",
        answer=BadgeView,
        right="read",
    ),
    Operation(
        method="GET",
        path="/connections/{id}/badge.svg",
        handler=show_badge,
        summary="The badge: `fresh`, `stale`, `failing` or `no lineage`",
        tag="connections",
        query=BadgeQuery,
        media={"image/svg+xml": "The picture"},
        empty={304: "`If-None-Match` names what there is"},
        guard="none",
    ),
)
