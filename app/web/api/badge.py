"""The badges of a connection, for READMEs: of a public repository anyone may see it, of a private one anyone with the signed address.

GitHub loads the images of READMEs through a caching proxy that sends no token:
https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-anonymized-urls
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import urlencode

from aiohttp import web

from app.core.models.connections import Connection
from app.reports.badge import LABEL, QUALITY_LABEL, Badge, badge, quality_badge, svg
from app.store import Store
from app.web.api.call import Call
from app.web.api.operation import API, NOT_MODIFIED, Operation
from app.web.api.schemas.badge import BadgeKind, BadgeKindQuery, BadgeQuery, BadgeView
from app.web.http import requests
from app.web.http.problems import HttpProblem
from app.web.keys import PUBLIC_URL

KEY = "badge"
SIGNATURE_BYTES = 16
HEADERS = {"Cache-Control": "public, max-age=60", "Access-Control-Allow-Origin": "*"}


async def get_badge(call: Call[BadgeKindQuery, None]) -> BadgeView:
    """The badge's address. Without a signature (public repository) it stops working when the repository becomes private."""
    connection = await call.connection()
    kind, signed = call.query.kind, connection.repository.private
    query: dict[str, str] = {"kind": kind} if kind == "quality" else {}
    if signed:
        query["signature"] = await sign(call.store, connection, kind)
    url = f"{call.request.app[PUBLIC_URL]}/connections/{connection.id}/badge.svg{'?' if query else ''}{urlencode(query)}"
    label = QUALITY_LABEL if kind == "quality" else LABEL
    return BadgeView(url=url, markdown=f"![{label}]({url})", signed=signed)


async def show_badge(call: Call[BadgeQuery, None]) -> web.Response:
    """The image. A missing connection and a wrong signature look the same."""
    connection = await _connection(call)
    if connection is None or not await _may_see(call, connection):
        raise HttpProblem(404, "Badge not found", "This badge does not exist, or the signature in its address is missing or wrong.")
    image = svg(await _badge(call, connection)).encode()
    headers = {**HEADERS, "ETag": f'"{hashlib.sha256(image).hexdigest()[:32]}"'}
    if any(f'"{known.value}"' == headers["ETag"] or known.value == "*" for known in call.request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=image, headers=headers, content_type="image/svg+xml", charset="utf-8")


async def sign(store: Store, connection: Connection, kind: BadgeKind = "freshness") -> str:
    """Return the signature of a badge's address. It is valid until the connection is removed or the signing key `badge` is deleted.

    Each kind has its own: a link to one does not show the other.
    """
    text = f"{connection.id} {connection.signed_series}{'' if kind == 'freshness' else f' {kind}'}"
    digest = hmac.digest(await store.signing_keys.get(KEY), text.encode(), "sha256")[:SIGNATURE_BYTES]
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


async def _badge(call: Call[BadgeQuery, None], connection: Connection) -> Badge:
    if call.query.kind == "freshness":
        return badge(connection)
    return quality_badge(connection, (await call.store.quality.scores([connection.id])).get(connection.id))


async def _connection(call: Call[BadgeQuery, None]) -> Connection | None:
    try:
        id_ = requests.path_id(call.request, "badge")
    except HttpProblem:
        return None
    return await call.store.connections.get(id_)


async def _may_see(call: Call[BadgeQuery, None], connection: Connection) -> bool:
    if not connection.repository.private:
        return True
    signature = call.query.signature
    return signature is not None and hmac.compare_digest(signature.encode(), (await sign(call.store, connection, call.query.kind)).encode())


OPERATIONS = (
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}/badge",
        id="get_badge",
        handler=get_badge,
        summary="Get the address of a badge for READMEs",
        tag="connections",
        query=BadgeKindQuery,
        response=BadgeView,
        right="read",
    ),
    Operation(
        method="GET",
        path="/connections/{id}/badge.svg",
        id="get_badge_image",
        handler=show_badge,
        summary="Get a badge as an image: `fresh`, `updating`, `stale`, `failing` or `no lineage`, or the score of the quality",
        tag="connections",
        query=BadgeQuery,
        media={"image/svg+xml": "The image"},
        empty={304: NOT_MODIFIED},
        guard="none",
    ),
)
