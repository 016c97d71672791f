"""How the values of variables are written: sizes, URLs, lists, tokens. Pure; the errors are for people, and never quote a secret."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from app.core import token_digest
from app.core.app_manifest import is_login
from app.core.egress.addresses import is_host
from app.notifications.channels import email
from app.notifications.rules import is_mail_address

MIN_MEMORY_BYTES = 256 << 20
MAX_MEMORY_BYTES = 1 << 44
MAX_DAYS = 36_500
MAX_SECONDS = 7 * 86_400
MIN_TOKEN_LENGTH = 10
MIN_TOKEN_CHARACTERS = 4
"""Different ones."""
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)([bkmg]?)b?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_TEAM = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}", re.IGNORECASE)
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)


def _size(value: object) -> object:
    """Bytes of a size in Docker's notation: `512m`, `2g`, or a number of bytes."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if not match:
        msg = "must be a size of at least 256m, such as 512m or 2g"
        raise ValueError(msg)
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _url(value: str) -> str:
    """An address of a server, without a slash at its end."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and is_host(parts.netloc) and parts.port != 0 and value.isprintable()
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or " " in value:
        msg = "must be a URL that begins with http:// or https:// and a host, without a user name, `?` or `#`"
        raise ValueError(msg)
    return value.rstrip("/")


def _public_url(value: str) -> str:
    """The address of the service, whose path becomes the prefix of all of ours."""
    address = _url(value)
    if not _PREFIX.fullmatch(urlsplit(address).path):
        msg = "may have a path of letters, digits, `.`, `_`, `~` and `-`, such as https://example.com/freshet"
        raise ValueError(msg)
    return address


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _listening_host(value: str) -> str:
    try:
        ip_address(value)
    except ValueError:
        if not _HOST_NAME.fullmatch(value):
            msg = "must be an IP address or a host name to listen on"
            raise ValueError(msg) from None
    return value


def _comma_separated(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _host(value: str) -> str:
    if not is_host(value):
        msg = f"{value!r} is not a host such as gitlab.example.com or git.example.com:8443"
        raise ValueError(msg)
    return value.lower()


def _operator(value: str) -> str:
    """A login, or a team as `org/team` with the team's slug, as in its URL on GitHub."""
    login, is_team, team = value.partition("/")
    if not is_login(login) or (is_team and not _TEAM.fullmatch(team)):
        msg = f"{value!r} is neither a login such as octocat nor a team such as octo-org/data-platform"
        raise ValueError(msg)
    return value


def _sender(value: str) -> str:
    email.sender(value)
    return value


def _domain(value: str) -> str:
    if value != "*" and not is_mail_address(f"a@{value}"):
        msg = f"{value!r} is neither a domain such as example.com nor *"
        raise ValueError(msg)
    return value.lower()


def _days(value: object) -> object:
    return None if isinstance(value, str) and value.strip().lower() == "forever" else value


def _tokens(tokens: list[SecretStr]) -> list[SecretStr]:
    """Refuse tokens that can be guessed: they may read and trigger everything."""
    for number, secret in enumerate(tokens, 1):
        token, which = secret.get_secret_value(), "the token" if len(tokens) == 1 else f"token {number}"
        if not token_digest.is_usable(token):
            msg = f"{which} must be visible ASCII characters without spaces, at most {token_digest.MAX_LENGTH}"
            raise ValueError(msg)
        if len(token) < MIN_TOKEN_LENGTH or len({*token}) < MIN_TOKEN_CHARACTERS:
            reason = f"shorter than {MIN_TOKEN_LENGTH} characters" if len(token) < MIN_TOKEN_LENGTH else "too uniform"
            msg = f"{which} is {reason}, so it can be guessed, and it may read and trigger everything. Create one: openssl rand -hex 32"
            raise ValueError(msg)
    return tokens


def _postgres_url(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())
        usable = parts.scheme in ("postgresql", "postgres") and ("," in parts.netloc or parts.port != 0)
    except ValueError:
        usable = False
    if not usable:
        msg = "must be a URL such as postgresql://USER:PASSWORD@HOST:5432/DATABASE; in a password, write / as %2F, : as %3A and @ as %40"
        raise ValueError(msg)
    return value


Url = Annotated[str, AfterValidator(_url)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]
ListeningHost = Annotated[str, AfterValidator(_listening_host)]
CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(_comma_separated)]
Hosts = Annotated[list[Annotated[str, AfterValidator(_host)]], NoDecode, BeforeValidator(_comma_separated)]
OperatorNames = Annotated[list[Annotated[str, AfterValidator(_operator)]], NoDecode, BeforeValidator(_comma_separated)]
Domains = Annotated[list[Annotated[str, AfterValidator(_domain)]], NoDecode, BeforeValidator(_comma_separated)]
Tokens = Annotated[list[SecretStr], NoDecode, BeforeValidator(_comma_separated), AfterValidator(_tokens)]
Sender = Annotated[str, AfterValidator(_sender)]
Days = Annotated[Annotated[float, Field(gt=0, le=MAX_DAYS)] | None, BeforeValidator(_days)]
Size = Annotated[int, BeforeValidator(_size), Field(ge=MIN_MEMORY_BYTES, le=MAX_MEMORY_BYTES)]
Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS)]
