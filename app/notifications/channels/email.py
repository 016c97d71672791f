"""Email through the operator's mail server: SMTP (https://www.rfc-editor.org/rfc/rfc5321), STARTTLS (RFC 3207), AUTH (RFC 4954)."""

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

from app.core.errors import UnavailableError, UndeliverableError
from app.core.models.notifications import Message
from app.notifications.rules import is_mail_address

TIMEOUT_S = 20.0
DOING = "sending an email"
PORTS = {"smtp": 25, "smtps": 465}
StartTls = Literal["required", "offered", "never"]
_SENDER = re.compile(r'"?([^<>"@,;:\\]*+)"? *+<([^<>\s]++)>|([^<>\s]++)')
NO_SUCH_MAILBOX = frozenset({550, 551, 553, 556})
"""Codes that refuse the mailbox for good: https://www.rfc-editor.org/rfc/rfc5321#section-4.2.3, and 556 in RFC 7504.

Other permanent codes may be about the message or about this server, which the operator can fix, so they are retried.
"""


@dataclass(frozen=True, slots=True)
class MailServer:
    """The operator's mail server."""

    host: str
    port: int
    tls: bool
    """From the first byte (`smtps`)."""
    start_tls: StartTls
    user: str | None = None
    password: SecretStr | None = None


def server(url: str) -> MailServer:
    """Parse `smtp://user:password@host:587?starttls=required`. Raises ValueError, without the URL in its message.

    With a password, STARTTLS is required unless the URL says otherwise: an attacker in between can remove the server's offer.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:  # its message may quote the password
        msg = "has an invalid port; in user name and password, write / as %2F, : as %3A and @ as %40"
        raise ValueError(msg) from None
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    start_tls = parameters.pop("starttls", "required" if parts.password else "offered")
    if parts.scheme not in PORTS or not parts.hostname or parts.path not in ("", "/") or parts.fragment:
        msg = "must be a URL such as smtp://user:password@mail.example.com:587?starttls=required or smtps://mail.example.com"
        raise ValueError(msg)
    if parameters or start_tls not in ("required", "offered", "never"):
        msg = "accepts one parameter: starttls=required, starttls=offered or starttls=never"
        raise ValueError(msg)
    if (parts.username is None) != (parts.password is None):
        msg = "must have both a user name and a password, or neither"
        raise ValueError(msg)
    secret = None if parts.password is None else SecretStr(unquote(parts.password))
    user = None if parts.username is None else unquote(parts.username)
    tls = parts.scheme == "smtps"
    return MailServer(parts.hostname, port, tls, start_tls, user, secret)  # type: ignore[arg-type] # checked above


def sender(text: str) -> Address:
    """Parse `freshet@example.com` or `Freshet <freshet@example.com>`. Raises ValueError."""
    match = _SENDER.fullmatch(text.strip())
    name, address = ((match[1] or "").rstrip(" "), match[2] or match[3]) if match else ("", "")
    if not is_mail_address(address) or not name.isprintable():
        msg = "must be an email address such as freshet@example.com or Freshet <freshet@example.com>"
        raise ValueError(msg)
    return Address(name, addr_spec=address)


class EmailChannel:
    """Sends emails (implements `notifications.ports.Channel`), each over its own connection: there are few."""

    def __init__(self, server: MailServer, sender: Address, *, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._sender = sender
        self._tls = tls

    async def send(self, message: Message, to: str, secret: str | None) -> None:  # noqa: ARG002 - an email has no signature
        """Pass a message to the mail server. Raises UndeliverableError or UnavailableError, without the address in their messages."""
        mail = email_message(message, self._sender, to)
        try:
            async with self._client() as client:
                await client.send_message(mail, sender=self._sender.addr_spec, recipients=[to])
        except (SMTPException, OSError) as error:
            raise _error(error) from None

    def _client(self) -> aiosmtplib.SMTP:
        server = self._server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password.get_secret_value() if server.password else None,
            local_hostname=self._sender.domain,
            timeout=TIMEOUT_S,
            use_tls=server.tls,
            start_tls=False if server.tls else {"required": True, "offered": None, "never": False}[server.start_tls],
            tls_context=self._tls,
        )


def email_message(message: Message, sender: Address, to: str) -> EmailMessage:
    """A message as an email. Its id is the same for every attempt, and messages about one connection form a thread."""
    mail = EmailMessage(policy=POLICY)
    mail["From"] = sender
    mail["To"] = Address(addr_spec=to)
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(message.created_at)
    mail["Message-ID"] = f"<{message.id}@{sender.domain}>"
    mail["References"] = f"<{message.thread}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # https://www.rfc-editor.org/rfc/rfc3834: prevents out-of-office replies
    mail["X-Freshet-Event"] = message.event
    mail["X-Freshet-Delivery"] = message.id
    mail.set_content(message.text, cte="quoted-printable")
    return mail


def _error(error: Exception) -> UndeliverableError | UnavailableError:
    """Translate an error of SMTP. The server's text may contain the address, so only its codes are repeated."""
    if isinstance(error, SMTPRecipientsRefused) and error.recipients:
        refused = error.recipients[0]
        reason = f"the mail server refused the recipient ({_code(refused.code, refused.message)})"
        return UndeliverableError(DOING, reason) if refused.code in NO_SUCH_MAILBOX else UnavailableError(DOING, reason)
    if isinstance(error, SMTPNotSupported) or type(error) is SMTPException:  # the latter is raised if STARTTLS is not offered
        next_step = "To send without TLS, the operator can set starttls=never in FRESHET_SMTP_URL."
        return UnavailableError(DOING, "the mail server offers neither STARTTLS nor a supported way to sign in", next_step)
    if isinstance(error, SMTPResponseException | SMTPSenderRefused):
        return UnavailableError(DOING, f"the mail server refused the message ({_code(error.code, error.message)})")
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return UnavailableError(DOING, "the mail server's certificate is not trusted, or the TLS handshake failed")
    return UnavailableError(DOING, f"the connection to the mail server failed ({type(error).__name__})")


def _code(code: int, text: str) -> str:
    """The reply code, with the enhanced status code of RFC 3463 if the text begins with one: `550 5.1.1`."""
    match = re.match(r"\s*(\d\.\d{1,3}\.\d{1,3})\b", text)
    return f"{code} {match[1]}" if match else str(code)
