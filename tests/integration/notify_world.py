"""A mail server and a webhook receiver over real sockets, and a project that breaks and is fixed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

import orjson
from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.core.models.connections import Connection
from app.core.models.extractions import Problem
from app.core.models.github import Conclusion, Repository
from app.lineage.nodes import Lineage
from app.store import Store

LEASE = timedelta(minutes=1)


@dataclass
class Project:
    """A connection whose extractions the tests end themselves."""

    store: Store
    connection: Connection

    async def push(self, sha: str) -> str:
        """Queue a commit as the newest one and return its extraction's id."""
        async with self.store.transaction() as tx:
            await tx.connections.move_head(self.connection.id, sha)
            return await tx.extractions.enqueue(self.connection.id, "main", sha, "push")

    async def fails(self, sha: str, title: str = "A model is missing", conclusion: Conclusion = "failure", **more: Any) -> str:
        """Push a commit whose extraction ends with a problem."""
        extraction_id = await self.push(sha)
        await self._claim()
        problem = Problem(title, "dbt could not parse it.", "Fix the error and push again.", conclusion=conclusion, **more)
        assert await self.store.extractions.finish(extraction_id, "w", "failed", [], problem=problem)
        return extraction_id

    async def succeeds(self, sha: str) -> str:
        """Push a commit whose extraction ends well."""
        extraction_id = await self.push(sha)
        await self._claim()
        extraction = await self.store.extractions.get(extraction_id)
        assert extraction is not None
        found = {"counts": {"model": 1}, "edges": 0, "change": None}
        async with self.store.transaction() as tx:
            await tx.lineages.save(extraction, Lineage("shop", "1.11.16", "duckdb", "v12", ()), b"input of " + sha.encode())
            assert await tx.extractions.finish(extraction_id, "w", "succeeded", [], result=found)
        return extraction_id

    async def _claim(self) -> None:
        assert await self.store.extractions.claim("w", LEASE) is not None


async def project(
    store: Store, repository: str = "octo/shop", *, id_: int = 7, installation_id: int = 3, directory: str = "transform"
) -> Project:
    """Make a connection."""
    await store.installations.update_from_push(Repository(id_, repository, installation_id, "main"))
    return Project(store, await store.connections.create(id_, directory))


@dataclass
class Delivery:
    """A webhook that arrived."""

    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return orjson.loads(self.raw)


@dataclass
class Receiver:
    """Takes webhooks, and answers with what it is told to, then with 200."""

    port: int = 0
    answers: list[web.Response] = field(default_factory=list)
    taken: list[Delivery] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/T0/B0/a-secret-of-the-receiver"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def _take(self, request: web.Request) -> web.Response:
        self.taken.append(Delivery(dict(request.headers), await request.read()))
        return self.answers.pop(0) if self.answers else web.Response(text="ok")


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """Run a receiver of webhooks."""
    found = Receiver()
    web_app = web.Application()
    web_app.router.add_route("*", "/{path:.*}", found._take)
    runner = web.AppRunner(web_app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.port = runner.addresses[0][1]
    try:
        yield found
    finally:
        await runner.cleanup()


@dataclass
class MailServer:
    """Takes mails (a handler of aiosmtpd's), and answers to recipients with what it is told to."""

    port: int = 0
    answers: list[str] = field(default_factory=list)
    taken: list[Envelope] = field(default_factory=list)
    secured: list[bool] = field(default_factory=list)
    users: list[bytes] = field(default_factory=list)

    @property
    def mails(self) -> list[EmailMessage]:
        return [message_from_bytes(cast("bytes", one.content), policy=default) for one in self.taken]

    async def handle_RCPT(self, _server: SMTP, _session: object, envelope: Envelope, address: str, _options: list[str]) -> str:  # noqa: N802 - aiosmtpd's name
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, _session: object, envelope: Envelope) -> str:  # noqa: N802
        self.taken.append(envelope)
        self.secured.append(server._tls_protocol is not None)
        return "250 OK"

    def authenticate(self, _server: SMTP, _session: object, _envelope: Envelope, _mechanism: str, given: LoginPassword) -> AuthResult:
        self.users.append(given.login)
        return AuthResult(success=given.password == b"p@ss/word", handled=False)


@asynccontextmanager
async def mail_server(
    tls: ssl.SSLContext | None = None, *, sign_in: bool = False, from_the_start: bool = False
) -> AsyncIterator[MailServer]:
    """Run a mail server: with STARTTLS if it has a certificate, with TLS from the first byte on if it is told so."""
    found = MailServer()

    def protocol() -> SMTP:
        start_tls = None if from_the_start else tls
        auth: dict[str, Any] = {"authenticator": found.authenticate, "auth_required": tls is not None, "auth_require_tls": tls is not None}
        return SMTP(found, tls_context=start_tls, hostname="mail.test", **(auth if sign_in else {}))

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=tls if from_the_start else None)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        await server.wait_closed()


@dataclass(frozen=True)
class Certificates:
    """A certificate of our own making for 127.0.0.1: what its holder serves with, and what those trust who know it."""

    file: Path
    server: ssl.SSLContext
    client: ssl.SSLContext


def certificates(directory: Path) -> Certificates:
    """Make a certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, key_file = directory / "certificate.pem", directory / "key.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    no_password = serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file, key_file)
    return Certificates(file, server, ssl.create_default_context(cafile=str(file)))
