"""Untrusted addresses: which ones Freshet connects to, also after a redirect or a changed DNS answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from app.core.egress.addresses import allowed, check, configured, is_host, is_public, shown
from app.core.errors import FreshetError, GoneError, RejectedAddressError, TreeTooBigError, UnavailableError
from app.packages.fetch.http import EgressClient

PUBLIC = "93.184.215.14"
HOSTS = configured(["http://hub.corp:8080/api"], ["gitlab.corp", "10.0.0.7", "git.corp:8443"])


@pytest.mark.parametrize(
    "url",
    [
        "https://hub.getdbt.com/api/v1/index.json",
        "HTTPS://Codeload.GitHub.com/dbt-labs/dbt-utils/tar.gz/1.3.0",
        "https://example.com",
        "https://example.com?x=1#y",
        "https://xn--bcher-kva.example/a%20b",
        "https://a.b.c.co.uk:443/x@y",
        "https://1e100.net/",
        "http://hub.corp:8080/api/v1/x.json",
        "http://gitlab.corp/x",
        "https://gitlab.corp:9443/x",
        "http://10.0.0.7:81/",
        "https://git.corp:8443/x",
    ],
)
def test_public_addresses_and_those_of_the_operator_are_allowed(url: str) -> None:
    assert check(url, HOSTS).url.lower().startswith(url.lower().partition("#")[0].rstrip("/").replace(":443", "").partition("?")[0])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/x",
        "//example.com/x",
        "http://example.com/x",
        "ftp://example.com/x",
        "file:///etc/passwd",
        "gopher://example.com/",
        "unix:///var/run/docker.sock",
        "https:/example.com",
        "https:///etc/passwd",
        "https://:443/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com@10.0.0.1/",
        "https://example.com\\@10.0.0.1/",
        "https://example.com:443@10.0.0.1/",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: x",
        "https://example.com/\tx",
        "https://example.com:22/",
        "https://example.com:8443/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:80:80/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://0/",
        "https://169.254.169.254/latest/meta-data/",
        "https://93.184.215.14/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[fe80::1%25eth0]/",
        "https://[2606:50c0::1]/",
        "https://①②⑦.⓪.⓪.①/",
        "https://127。0。0。1/",
        "https://bücher.example/",
        "https://localhost/",
        "https://LOCALHOST/",
        "https://a.localhost/",
        "https://localhost./",
        "https://metadata/",
        "https://metadata.google.internal/",
        "https://printer.local/",
        "https://router.home.arpa/",
        "https://nas.lan/",
        "https://example.com./",
        "https://-x.example.com/",
        "https://%6c%6fcalhost/",
        "https://example..com/",
        f"https://{'a' * 64}.example.com/",
        f"https://{'a.' * 130}com/",
        f"https://example.com/{'a' * 3000}",
        "http://hub.corp/",
        "http://hub.corp:8081/",
        "https://git.corp/",
        "https://10.0.0.8/",
    ],
)
def test_unsafe_addresses_are_refused(url: str) -> None:
    assert not allowed(url, HOSTS)


@pytest.mark.parametrize(
    "address",
    ["140.82.112.3", "1.1.1.1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:50c0:8000::153", "2a00:1450:4001::1"],
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.2", "168.63.129.16", "169.254.169.254", "172.16.0.1"),  # noqa: S104 - nobody listens there
        *("192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001:0:7f00:1::1", "2001:db8::1"),
        *("2002:7f00:1::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:50c0::1%eth0", "fec0::1", "ff02::1", "3fff::1"),
        *("localhost", "127.1", ""),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "secret", ["https://user:s3cret@host.example/x", "https://s3cret@host/x", "user:s3cret@host:x", "https://h/x?t=s3cret"]
)
def test_credentials_in_addresses_are_not_shown(secret: str) -> None:
    with pytest.raises(RejectedAddressError) as error:
        check(secret.replace("https://h/", "http://h/"))
    assert "s3cret" not in f"{error.value} {error.value.user_text} {shown(secret)}"


def test_valid_and_invalid_hosts() -> None:
    assert all(is_host(text) for text in ("gitlab.corp", "gitlab", "gitlab:8443", "10.0.0.7:80", "[::1]:80"))
    assert not any(is_host(text) for text in ("https://gitlab.corp", "gitlab.corp/x", "*.corp", "", "a b", "git@corp", "::1"))


# -- over HTTP -----------------------------------------------------------------------------------------------------------

Handler = Callable[[web.BaseRequest], web.StreamResponse]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """A server on 127.0.0.1 that answers with `handler`; its port."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return handler(request)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


def answering(*found: str) -> Callable[[str, int], object]:
    async def ask(_host: str, _port: int) -> Sequence[str]:
        return found

    return ask


async def failing(client: EgressClient, url: str, max_bytes: int = 1000) -> FreshetError:
    async with client:
        with pytest.raises(FreshetError) as error:
            await client.fetch(url, max_bytes, doing="fetching a package")
    return error.value


async def test_configured_hosts_are_fetched_and_their_redirects_followed() -> None:
    def handler(request: web.BaseRequest) -> web.StreamResponse:
        there = {"/a": "b", "/b": "//hub.test:{port}/c?d=%20e"}.get(request.path)
        if there:
            return web.Response(status=302, headers={"location": there.format(port=port)})
        assert "cookie" not in request.headers
        return web.Response(text=f"{request.path_qs} {request.host}", headers={"set-cookie": "a=b"})

    async with serving(handler) as port, EgressClient([f"hub.test:{port}"], ask=answering("127.0.0.1")) as client:  # type: ignore[arg-type]
        for _ in range(2):
            assert await client.fetch(f"http://hub.test:{port}/a", 1000, doing="") == f"/c?d=%20e hub.test:{port}".encode()


@pytest.mark.parametrize(
    "location",
    [
        *("http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:{port}/", "https://127.0.0.1/", "//127.0.0.1:{port}/"),
        *(
            "http://hub.test:1/",
            "file:///etc/passwd",
            "https://user:x@example.com/",
            "https://rebind.example:{port}/",
            "https://localhost/",
        ),
    ],
)
async def test_redirects_to_other_hosts_are_refused(location: str) -> None:
    seen: list[str] = []

    def handler(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.host)
        return web.Response(status=301, headers={"location": location.format(port=port)})

    async with serving(handler) as port:
        client = EgressClient([f"hub.test:{port}"], ask=answering("127.0.0.1"))  # type: ignore[arg-type]
        assert type(await failing(client, f"http://hub.test:{port}/")) is RejectedAddressError
    assert seen == [f"hub.test:{port}"]


@pytest.mark.parametrize("found", [("127.0.0.1",), (PUBLIC, "10.0.0.1"), ("::1",), ("fe80::1%eth0",)])
async def test_a_name_that_resolves_to_a_private_address_is_refused(found: tuple[str, ...]) -> None:
    error = await failing(EgressClient(ask=answering(*found)), "https://rebind.example/")  # type: ignore[arg-type]
    assert type(error) is RejectedAddressError
    assert "rebind.example is in a private network" in error.reason
    assert "FRESHET_PACKAGE_HOSTS" in error.next_step


async def test_a_name_is_resolved_once_and_that_address_is_used() -> None:
    asked: list[str] = []

    async def ask(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    async with serving(lambda _request: web.Response(text="here")) as port, EgressClient([f"hub.test:{port}"], ask=ask) as client:
        assert await client.fetch(f"http://hub.test:{port}/", 100, doing="") == b"here"
    assert asked == ["hub.test"]


async def test_unknown_names_and_failures_of_the_resolver() -> None:
    async def unknown(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def broken(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    assert type(await failing(EgressClient(ask=unknown), "https://no.example/")) is GoneError
    assert type(await failing(EgressClient(ask=broken), "https://no.example/")) is UnavailableError


@pytest.mark.parametrize(
    ("status", "kind", "wait_s"),
    [(404, GoneError, None), (403, GoneError, None), (503, UnavailableError, 7.0), (429, UnavailableError, 7.0)],
)
async def test_errors_of_http_statuses(status: int, kind: type[FreshetError], wait_s: float | None) -> None:
    async with serving(lambda _request: web.Response(status=status, headers={"retry-after": "7"})) as port:
        error = await failing(EgressClient([f"127.0.0.1:{port}"]), f"http://127.0.0.1:{port}/x?token=s3cret")
    assert type(error) is kind
    assert getattr(error, "retry_after_s", None) == wait_s
    assert f"answered with {status}" in error.reason
    assert "s3cret" not in str(error)


async def test_a_too_large_response_is_aborted() -> None:
    async with serving(lambda _request: web.Response(body=bytes(3 << 20))) as port:
        error = await failing(EgressClient([f"127.0.0.1:{port}"]), f"http://127.0.0.1:{port}/", 1 << 20)
    assert type(error) is TreeTooBigError
    assert "over 1 MiB" in error.reason


async def test_a_silent_receiver_times_out() -> None:
    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await failing(EgressClient([f"127.0.0.1:{port}"], total_s=0.1), f"http://127.0.0.1:{port}/")
    assert type(error) is UnavailableError


async def test_redirects_are_limited() -> None:
    async with serving(lambda _request: web.Response(status=302, headers={"location": "/again"})) as port:
        assert type(await failing(EgressClient([f"127.0.0.1:{port}"]), f"http://127.0.0.1:{port}/")) is GoneError
