"""`GET /freshet.schema.json`: editors complete and validate `.github/freshet.yml` with it."""

from __future__ import annotations

import hashlib

import orjson
from aiohttp import web

from app.project.repository_settings import json_schema

DOCUMENT = orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2)
ETAG = hashlib.sha256(DOCUMENT).hexdigest()[:32]
# Editors in a browser may read it too: it is the same for everyone.
HEADERS = {"ETag": f'"{ETAG}"', "Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*"}


async def show(request: web.Request) -> web.Response:
    """The JSON Schema, or 304."""
    if any(known.value in (ETAG, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers=HEADERS)
    return web.Response(body=DOCUMENT, content_type="application/schema+json", headers=HEADERS)
