"""`GET /freshet.schema.json`: what editors complete and check `.github/freshet.yml` with."""

from __future__ import annotations

import hashlib

import orjson
from aiohttp import web

from app.settings import json_schema

DOCUMENT = orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2)
ETAG = hashlib.sha256(DOCUMENT).hexdigest()[:32]
# Editors in a browser may read it too: nothing of it is of anybody.
HEADERS = {"ETag": f'"{ETAG}"', "Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*"}


async def show(request: web.Request) -> web.Response:
    """Return the JSON Schema."""
    if any(known.value in (ETAG, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers=HEADERS)
    return web.Response(body=DOCUMENT, content_type="application/schema+json", headers=HEADERS)
