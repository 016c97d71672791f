"""Stylesheets, scripts and pictures of the pages: read once, and cached by browsers for as long as their digest is in the address."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from aiohttp import web

from app.web.http.negotiation import accepts_encoding
from app.web.http.problems import not_found

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"
PATH = "/assets/{digest}/{name}"
DIGITS = 16


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    body: bytes
    compressed: bytes
    content_type: str
    etag: str


@cache
def files() -> dict[str, Asset]:
    """All assets by name."""
    folder = resources.files("app.web.pages").joinpath("assets")
    named = {file.name: file.read_bytes() for file in folder.iterdir() if f".{file.name.rpartition('.')[2]}" in TYPES}
    return {
        name: Asset(body, gzip.compress(body, mtime=0), TYPES[f".{name.rpartition('.')[2]}"], _digest(body))
        for name, body in sorted(named.items())
    }


@cache
def version() -> str:
    """A digest of all assets. It is a folder in their addresses, so that scripts find each other by relative addresses."""
    return _digest("\n".join(f"{name} {asset.etag}" for name, asset in files().items()).encode())


def path(name: str) -> str:
    """The path of an asset. Raises KeyError if there is none of that name."""
    files()[name]
    return PATH.format(digest=version(), name=name)


async def show(request: web.Request) -> web.Response:
    """`GET /assets/{digest}/{name}`. During an update, pages of another version get this version's file, and do not keep it."""
    asset = files().get(request.match_info["name"])
    if asset is None:
        raise not_found("file")
    headers = {
        "ETag": f'"{asset.etag}"',
        "Vary": "Accept-Encoding",
        "Cache-Control": FOREVER if request.match_info["digest"] == version() else "no-cache",
    }
    if any(known.value in (asset.etag, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    packed = accepts_encoding(request.headers.get("Accept-Encoding", ""), "gzip")
    if packed:
        headers["Content-Encoding"] = "gzip"
    body = asset.compressed if packed else asset.body
    return web.Response(body=body, content_type=asset.content_type, charset="utf-8", headers=headers)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]
