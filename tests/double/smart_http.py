"""Git's smart HTTP: ``git http-backend`` as a CGI program behind GitHub's authentication, without buffering.

https://git-scm.com/docs/git-http-backend, https://git-scm.com/docs/http-protocol
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping

from aiohttp import StreamReader, web

from tests.double import git
from tests.double.auth import allows, find_token, permissions_on
from tests.double.errors import ApiError
from tests.double.rest import state_of
from tests.double.state import Repository

CHUNK_BYTES = 1 << 16
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="GitHub"'}

_PLAIN = {"GIT_PROTOCOL": "", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "uploadpack.allowAnySHA1InWant", "GIT_CONFIG_VALUE_0": "false"}


async def info_refs(request: web.Request) -> web.StreamResponse:
    """Advertise references for a fetch, or for a push with the permission."""
    level = "read" if request.query.get("service") == "git-upload-pack" else "write"
    return await _serve(request, "info/refs", level)


async def upload_pack(request: web.Request) -> web.StreamResponse:
    """Serve a fetch or a clone."""
    return await _serve(request, "git-upload-pack")


async def receive_pack(_request: web.Request) -> web.StreamResponse:
    """Reject pushes over HTTP; tests push with :class:`~tests.double.pushes.Pushes`."""
    return _refusal(403, "Write access to repository not granted.")


async def _serve(request: web.Request, service: str, level: str = "read") -> web.StreamResponse:
    """Authenticate, then hand over to git."""
    found = _authenticate(request, level)
    if isinstance(found, web.Response):
        return found
    environment = _cgi_environment(request, found, service)
    return await _http_backend(request, environment | _PLAIN if state_of(request).plain_git else environment)


def _authenticate(request: web.Request, level: str) -> Repository | web.Response:
    """The repository if the caller may read or write its contents, otherwise GitHub's error response."""
    state, path = state_of(request), request.match_info
    authorization = request.headers.get("Authorization")
    try:
        token = find_token(state, authorization)
    except ApiError:
        return _refusal(401, "Invalid username or token. Password authentication is not supported for Git operations.")
    full_name = f"{path['owner']}/{path['name'].removesuffix('.git')}"
    if full_name in state.former_names and state.repository(full_name) is None:
        now = state.repositories[state.former_names[full_name]].full_name
        location = str(request.rel_url).replace(f"/{full_name}", f"/{now}", 1)
        return web.Response(status=301, headers={"Location": f"{state.server_url}{location}"})
    repository = state.repository(full_name)
    permissions = None if repository is None else permissions_on(state, token, repository)
    if repository is None or permissions is None:
        return _refusal(404, "Repository not found.") if authorization else _refusal(401, "No anonymous access.")
    if not allows(permissions, "contents", level):
        return _refusal(403, "Write access to repository not granted.")
    return repository


def _refusal(status: int, message: str) -> web.Response:
    """An error that git shows after ``remote:``."""
    return web.Response(status=status, text=message, headers=_CHALLENGE if status == web.HTTPUnauthorized.status_code else {})


def _cgi_environment(request: web.Request, repository: Repository, service: str) -> dict[str, str]:
    """The CGI variables for ``http-backend``.

    aiohttp has already undone gzip and chunking, so neither Content-Encoding nor Content-Length is passed on:
    git then reads to the end of its standard input.
    """
    return {
        **git.environment(),
        "GIT_PROJECT_ROOT": str(repository.directory.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "REQUEST_METHOD": request.method,
        "PATH_INFO": f"/{repository.directory.name}/{service}",
        "QUERY_STRING": request.query_string,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "REMOTE_ADDR": request.remote or "",
        # git accepts a push only with an authenticated user.
        "REMOTE_USER": "somebody" if "Authorization" in request.headers else "",
    }


async def _http_backend(request: web.Request, environment: Mapping[str, str]) -> web.StreamResponse:
    """Run git on the body of a request and stream its response."""
    process = await asyncio.create_subprocess_exec(
        "git",
        "http-backend",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=dict(environment),
        process_group=0,
    )
    response = web.StreamResponse()
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("git was started without pipes")
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_feed(request.content, process.stdin))
            await _relay(request, response, process.stdout)
    except* ConnectionError:
        pass  # the client has gone: nobody is left to receive it
    finally:
        await _stop(process)
    return response


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End git and its children, which may block on a full pipe if the client is gone, and close the pipes."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.communicate()


async def _feed(body: StreamReader, stdin: asyncio.StreamWriter) -> None:
    """Write the request's body to git, which may stop reading before its end."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        async for chunk in body.iter_chunked(CHUNK_BYTES):
            stdin.write(chunk)
            await stdin.drain()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.close()
        await stdin.wait_closed()


async def _relay(request: web.Request, response: web.StreamResponse, stdout: asyncio.StreamReader) -> None:
    """Turn git's CGI response into an HTTP response."""
    while line := (await stdout.readline()).decode().strip():
        name, _, value = line.partition(":")
        if name.lower() == "status":
            response.set_status(int(value.split()[0]))
        else:
            response.headers.add(name, value.strip())
    await response.prepare(request)
    state = state_of(request)
    while chunk := await stdout.read(CHUNK_BYTES):
        await response.write(chunk)
        state.git_bytes += len(chunk)
    await response.write_eof()
