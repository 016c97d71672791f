"""Emails through a real mail server: STARTTLS and TLS with verified certificates, signing in, and the codes of refusals."""

from __future__ import annotations

from datetime import UTC, datetime
from email.headerregistry import Address

import pytest

from app.core.errors import UnavailableError, UndeliverableError
from app.core.models.notifications import Message
from app.notifications.channels.email import EmailChannel, email_message, sender, server
from tests.integration.notify_world import Certificates, certificates, mail_server

FROM = sender("Freshet <freshet@example.com>")
TEXT = "The newest commit of main, 1a2b3c4, could not be extracted.\n\n    näme → ünï\n.\nFrom here on\n"
MESSAGE = Message("0b6f1c1e", "s.c", "failure", datetime(2026, 11, 2, 9, tzinfo=UTC), "octo/shop (ünï): dbt lineage failed", TEXT, {})


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


async def test_an_email_arrives_unchanged() -> None:
    async with mail_server() as mails:
        await EmailChannel(server(f"smtp://127.0.0.1:{mails.port}"), FROM).send(MESSAGE, "ann@example.org", None)
    [mail] = mails.mails
    assert mails.taken[0].mail_from == "freshet@example.com"
    assert mails.taken[0].rcpt_tos == ["ann@example.org"]
    assert mail["From"] == "Freshet <freshet@example.com>"
    assert mail["To"] == "ann@example.org"
    assert mail["Subject"] == "octo/shop (ünï): dbt lineage failed"
    assert mail["Date"].datetime == MESSAGE.created_at
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] == "<0b6f1c1e@example.com>"
    assert mail["References"] == "<s.c@example.com>"
    assert (mail["X-Freshet-Event"], mail["X-Freshet-Delivery"]) == ("failure", "0b6f1c1e")
    assert mail.get_content().replace("\r\n", "\n") == TEXT


async def test_starttls_and_signing_in(trusted: Certificates) -> None:
    async with mail_server(trusted.server, sign_in=True) as mails:
        by = server(f"smtp://freshet%40example.com:p%40ss%2Fword@localhost:{mails.port}")
        assert by.start_tls == "required"
        await EmailChannel(by, FROM, tls=trusted.client).send(MESSAGE, "ann@example.org", None)
    assert mails.secured == [True]
    assert mails.users == [b"freshet@example.com"]


async def test_tls_from_the_first_byte(trusted: Certificates) -> None:
    async with mail_server(trusted.server, from_the_start=True) as mails:
        await EmailChannel(server(f"smtps://localhost:{mails.port}"), FROM, tls=trusted.client).send(MESSAGE, "ann@example.org", None)
    assert len(mails.taken) == 1


async def test_no_password_is_sent_without_tls_unless_the_operator_allows_it(trusted: Certificates) -> None:
    async with mail_server(sign_in=True) as mails:
        by = server(f"smtp://freshet:p%40ss%2Fword@127.0.0.1:{mails.port}")
        with pytest.raises(UnavailableError, match="STARTTLS"):
            await EmailChannel(by, FROM).send(MESSAGE, "ann@example.org", None)
        assert (mails.users, mails.taken) == ([], [])
        by = server(f"smtp://freshet:p%40ss%2Fword@127.0.0.1:{mails.port}?starttls=never")
        await EmailChannel(by, FROM).send(MESSAGE, "ann@example.org", None)
        assert len(mails.taken) == 1, "the operator allowed it"


@pytest.mark.parametrize("url", ["smtp://localhost:{}", "smtp://localhost:{}?starttls=required", "smtps://localhost:{}"])
async def test_an_untrusted_certificate_is_refused(trusted: Certificates, url: str) -> None:
    async with mail_server(trusted.server, from_the_start=url.startswith("smtps")) as mails:
        with pytest.raises(UnavailableError, match="certificate"):
            await EmailChannel(server(url.format(mails.port)), FROM).send(MESSAGE, "ann@example.org", None)
        assert mails.taken == []


async def test_a_wrong_password_is_not_in_the_error(trusted: Certificates) -> None:
    async with mail_server(trusted.server, sign_in=True) as mails:
        by = server(f"smtp://freshet:wrong-one@localhost:{mails.port}")
        with pytest.raises(UnavailableError) as caught:
            await EmailChannel(by, FROM, tls=trusted.client).send(MESSAGE, "ann@example.org", None)
    assert "refused the message (535 5.7.8)" in str(caught.value)
    assert "wrong-one" not in repr(by) + str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ("550 5.1.1 <ann@example.org>: there is no ann", UndeliverableError, "550 5.1.1"),
        ("553 no", UndeliverableError, "553"),
        ("450 4.2.1 ann@example.org is busy", UnavailableError, "450 4.2.1"),
        ("554 5.7.1 ann@example.org: relaying denied", UnavailableError, "554 5.7.1"),
    ],
)
async def test_an_unknown_mailbox_is_permanent_and_other_refusals_are_retried(answer: str, kind: type[Exception], words: str) -> None:
    async with mail_server() as mails:
        mails.answers = [answer]
        with pytest.raises(kind) as caught:
            await EmailChannel(server(f"smtp://127.0.0.1:{mails.port}"), FROM).send(MESSAGE, "ann@example.org", None)
    assert words in str(caught.value)
    assert "ann" not in str(caught.value), "logs hold no addresses"


async def test_an_unreachable_mail_server_is_retried() -> None:
    with pytest.raises(UnavailableError, match="failed"):
        await EmailChannel(server("smtp://127.0.0.1:1"), FROM).send(MESSAGE, "ann@example.org", None)


@pytest.mark.parametrize("field", ["subject", "id", "thread", "event"])
def test_no_text_adds_a_header(field: str) -> None:
    values = {name: getattr(MESSAGE, name) for name in MESSAGE.__slots__}
    hostile = Message(**{**values, field: "x\r\nBcc: eve@example.net\r\n\r\nBuy"})
    with pytest.raises(ValueError, match=r"."):
        email_message(hostile, FROM, "ann@example.org")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mail.example.com", "must be a URL"),
        ("http://mail.example.com", "must be a URL"),
        ("smtp://", "must be a URL"),
        ("smtp://mail.example.com/path", "must be a URL"),
        ("smtp://mail.example.com?starttls=maybe", "accepts one parameter"),
        ("smtp://mail.example.com?tls=1", "accepts one parameter"),
        ("smtp://user@mail.example.com", "a user name and a password"),
        ("smtp://user:a/secret@mail.example.com", "has an invalid port"),
        ("smtp://mail.example.com:99999", "has an invalid port"),
    ],
)
def test_an_invalid_server_url_is_refused_without_its_password(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        server(url)
    assert "secret" not in str(caught.value)


def test_valid_server_urls() -> None:
    assert (server("smtp://mail.example.com").port, server("smtps://mail.example.com").port) == (25, 465)
    assert server("smtp://mail.example.com").start_tls == "offered"
    assert "hidden" not in repr(server("smtp://u:hidden@mail.example.com"))


@pytest.mark.parametrize("text", ["freshet", "a@b", "x\r\nBcc: <a@example.com>", "a@example.com, b@example.com"])
def test_a_sender_is_one_address(text: str) -> None:
    with pytest.raises(ValueError, match="must be an email address"):
        sender(text)
    assert sender("Freshet at work <freshet@example.com>") == Address("Freshet at work", addr_spec="freshet@example.com")
