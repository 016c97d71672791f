"""Mails by the operator's mail server: https://www.rfc-editor.org/rfc/rfc5321, STARTTLS by RFC 3207, AUTH by RFC 4954."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from email.utils import format_datetime
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import aiosmtplib
from aiosmtplib import SMTPException, SMTPNotSupported, SMTPRecipientsRefused, SMTPResponseException, SMTPSenderRefused
from pydantic import SecretStr

from app.errors import UnavailableError, UndeliverableError
from app.notices import Message, is_mail_address

TIMEOUT_S = 20.0
DOING = "sending a mail"
PORTS = {"smtp": 25, "smtps": 465}
StartTls = Literal["required", "offered", "never"]
_SENDER = re.compile(r'"?([^<>"@,;:\\]*?)"? *<([^<>\s]+)>|([^<>\s]+)')
REFUSED_FOR_GOOD = frozenset({550, 551, 553, 556})
"""The mailbox, not the message or us: https://www.rfc-editor.org/rfc/rfc5321#section-4.2.3, and 556 by RFC 7504."""


@dataclass(frozen=True, slots=True)
class Server:
    """The operator's mail server."""

    host: str
    port: int
    tls: bool
    """From the first byte on."""
    start_tls: StartTls
    user: str | None = None
    password: SecretStr | None = None


def server(url: str) -> Server:
    """Read `smtp://user:password@host:587?starttls=required`. Raises ValueError, whose words hold nothing of the URL.

    With a password, STARTTLS is required unless the URL says otherwise: whoever sits in between could take the offer away.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:  # its words may quote the password
        msg = "has no port that can be one; write / as %2F, : as %3A and @ as %40 in user name and password"
        raise ValueError(msg) from None
    asked = dict(parse_qsl(parts.query, keep_blank_values=True))
    start_tls = asked.pop("starttls", "required" if parts.password else "offered")
    if parts.scheme not in PORTS or not parts.hostname or parts.path not in ("", "/") or parts.fragment:
        msg = "is not an address such as smtp://user:password@mail.example.com:587?starttls=required or smtps://mail.example.com"
        raise ValueError(msg)
    if asked or start_tls not in ("required", "offered", "never"):
        msg = "takes one parameter: starttls=required, starttls=offered or starttls=never"
        raise ValueError(msg)
    if (parts.username is None) != (parts.password is None):
        msg = "takes a user name and a password, or neither"
        raise ValueError(msg)
    secret = None if parts.password is None else SecretStr(unquote(parts.password))
    user = None if parts.username is None else unquote(parts.username)
    tls = parts.scheme == "smtps"
    return Server(parts.hostname, port, tls, start_tls, user, secret)  # type: ignore[arg-type] # it was compared


def sender(text: str) -> Address:
    """Read `freshet@example.com` or `Freshet <freshet@example.com>`. Raises ValueError."""
    found = _SENDER.fullmatch(text.strip())
    name, address = (found[1] or "", found[2] or found[3]) if found else ("", "")
    if not is_mail_address(address) or not name.isprintable():
        msg = "is not a mail address such as freshet@example.com or Freshet <freshet@example.com>"
        raise ValueError(msg)
    return Address(name, addr_spec=address)


class Mail:
    """Sends messages (`app.ports.Channel`), each over a connection of its own: there are few."""

    def __init__(self, by: Server, sender: Address, *, tls: ssl.SSLContext | None = None) -> None:
        self._by = by
        self._sender = sender
        self._tls = tls

    async def send(self, message: Message, to: str, secret: str | None) -> None:  # noqa: ARG002 - a mail has no signature
        """Hand a message over. Raises UndeliverableError or UnavailableError, whose words hold no address."""
        mail = letter(message, self._sender, to)
        try:
            async with self._client() as client:
                await client.send_message(mail, sender=self._sender.addr_spec, recipients=[to])
        except (SMTPException, OSError) as error:
            raise _refusal(error) from None

    def _client(self) -> aiosmtplib.SMTP:
        by = self._by
        return aiosmtplib.SMTP(
            hostname=by.host,
            port=by.port,
            username=by.user,
            password=by.password.get_secret_value() if by.password else None,
            local_hostname=self._sender.domain,
            timeout=TIMEOUT_S,
            use_tls=by.tls,
            start_tls=False if by.tls else {"required": True, "offered": None, "never": False}[by.start_tls],
            tls_context=self._tls,
        )


def letter(message: Message, sender: Address, to: str) -> EmailMessage:
    """Return a message as a mail. It keeps its id however often it is sent, and what tells of one connection is one thread."""
    mail = EmailMessage(policy=POLICY)
    mail["From"] = sender
    mail["To"] = Address(addr_spec=to)
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(message.created_at)
    mail["Message-ID"] = f"<{message.id}@{sender.domain}>"
    mail["References"] = f"<{message.thread}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # https://www.rfc-editor.org/rfc/rfc3834: nobody's holiday note is to answer
    mail["X-Freshet-Event"] = message.event
    mail["X-Freshet-Delivery"] = message.id
    mail.set_content(message.text, cte="quoted-printable")
    return mail


def _refusal(error: Exception) -> UndeliverableError | UnavailableError:
    """Return the error of what went wrong. The server's words may hold the address, so only its codes are told."""
    if isinstance(error, SMTPRecipientsRefused) and error.recipients:
        refused = error.recipients[0]
        said = f"the mail server refused the recipient ({_code(refused.code, refused.message)})"
        return UndeliverableError(DOING, said) if refused.code in REFUSED_FOR_GOOD else UnavailableError(DOING, said)
    if isinstance(error, SMTPNotSupported) or type(error) is SMTPException:  # the latter is what a STARTTLS that is not offered raises
        next_step = "The operator sets starttls=never in FRESHET_SMTP_URL if that is meant."
        return UnavailableError(DOING, "the mail server offers no STARTTLS, or no way to sign in that we know", next_step)
    if isinstance(error, SMTPResponseException | SMTPSenderRefused):
        return UnavailableError(DOING, f"the mail server said no ({_code(error.code, error.message)})")
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return UnavailableError(DOING, "the mail server's certificate is not one that we trust, or TLS came to no agreement")
    return UnavailableError(DOING, f"the connection to the mail server broke ({type(error).__name__})")


def _code(code: int, words: str) -> str:
    """Return `550 5.1.1`: the second one is of RFC 3463."""
    found = re.match(r"\s*(\d\.\d{1,3}\.\d{1,3})\b", words)
    return f"{code} {found[1]}" if found else str(code)
