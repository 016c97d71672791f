"""Mails through a real mail server: STARTTLS and TLS with certificates that are looked at, signing in, and what servers say no with."""

from __future__ import annotations

from datetime import UTC, datetime
from email.headerregistry import Address

import pytest

from app.errors import UnavailableError, UndeliverableError
from app.notices import Message
from app.notify.mail import Mail, letter, sender, server
from tests.integration.notify_world import Certificates, certificates, mail_server

FROM = sender("Freshet <freshet@example.com>")
TEXT = "The newest commit of main, 1a2b3c4, could not be extracted.\n\n    näme → ünï\n.\nFrom here on\n"
MESSAGE = Message("0b6f1c1e", "s.c", "failure", datetime(2026, 11, 2, 9, tzinfo=UTC), "octo/shop (ünï): dbt lineage failed", TEXT, {})


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


async def test_a_mail_arrives_as_it_was_written() -> None:
    async with mail_server() as mails:
        await Mail(server(f"smtp://127.0.0.1:{mails.port}"), FROM).send(MESSAGE, "ann@example.org", None)
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


async def test_starttls_and_signing_in(known: Certificates) -> None:
    async with mail_server(known.server, sign_in=True) as mails:
        by = server(f"smtp://freshet%40example.com:p%40ss%2Fword@localhost:{mails.port}")
        assert by.start_tls == "required"
        await Mail(by, FROM, tls=known.client).send(MESSAGE, "ann@example.org", None)
    assert mails.secured == [True]
    assert mails.users == [b"freshet@example.com"]


async def test_tls_from_the_first_byte_on(known: Certificates) -> None:
    async with mail_server(known.server, from_the_start=True) as mails:
        await Mail(server(f"smtps://localhost:{mails.port}"), FROM, tls=known.client).send(MESSAGE, "ann@example.org", None)
    assert len(mails.taken) == 1


async def test_no_password_goes_over_a_connection_that_is_not_secured(known: Certificates) -> None:
    async with mail_server(sign_in=True) as mails:
        by = server(f"smtp://freshet:p%40ss%2Fword@127.0.0.1:{mails.port}")
        with pytest.raises(UnavailableError, match="STARTTLS"):
            await Mail(by, FROM).send(MESSAGE, "ann@example.org", None)
        assert (mails.users, mails.taken) == ([], [])
        by = server(f"smtp://freshet:p%40ss%2Fword@127.0.0.1:{mails.port}?starttls=never")
        await Mail(by, FROM).send(MESSAGE, "ann@example.org", None)
        assert len(mails.taken) == 1, "the operator meant it"


@pytest.mark.parametrize("url", ["smtp://localhost:{}", "smtp://localhost:{}?starttls=required", "smtps://localhost:{}"])
async def test_a_certificate_that_nobody_vouches_for_is_not_taken(known: Certificates, url: str) -> None:
    async with mail_server(known.server, from_the_start=url.startswith("smtps")) as mails:
        with pytest.raises(UnavailableError, match="certificate"):
            await Mail(server(url.format(mails.port)), FROM).send(MESSAGE, "ann@example.org", None)
        assert mails.taken == []


async def test_a_wrong_password_is_said_without_it(known: Certificates) -> None:
    async with mail_server(known.server, sign_in=True) as mails:
        by = server(f"smtp://freshet:wrong-one@localhost:{mails.port}")
        with pytest.raises(UnavailableError) as caught:
            await Mail(by, FROM, tls=known.client).send(MESSAGE, "ann@example.org", None)
    assert "said no (535 5.7.8)" in str(caught.value)
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
async def test_a_mailbox_that_is_none_is_given_up_and_all_else_tried_again(answer: str, kind: type[Exception], words: str) -> None:
    async with mail_server() as mails:
        mails.answers = [answer]
        with pytest.raises(kind) as caught:
            await Mail(server(f"smtp://127.0.0.1:{mails.port}"), FROM).send(MESSAGE, "ann@example.org", None)
    assert words in str(caught.value)
    assert "ann" not in str(caught.value), "logs hold no addresses"


async def test_a_server_that_is_not_there_may_come_back() -> None:
    with pytest.raises(UnavailableError, match="broke"):
        await Mail(server("smtp://127.0.0.1:1"), FROM).send(MESSAGE, "ann@example.org", None)


@pytest.mark.parametrize("field", ["subject", "id", "thread", "event"])
def test_no_text_adds_a_header(field: str) -> None:
    values = {name: getattr(MESSAGE, name) for name in MESSAGE.__slots__}
    hostile = Message(**{**values, field: "x\r\nBcc: eve@example.net\r\n\r\nBuy"})
    with pytest.raises(ValueError, match=r"."):
        letter(hostile, FROM, "ann@example.org")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mail.example.com", "is not an address"),
        ("http://mail.example.com", "is not an address"),
        ("smtp://", "is not an address"),
        ("smtp://mail.example.com/path", "is not an address"),
        ("smtp://mail.example.com?starttls=maybe", "takes one parameter"),
        ("smtp://mail.example.com?tls=1", "takes one parameter"),
        ("smtp://user@mail.example.com", "a user name and a password"),
        ("smtp://user:a/secret@mail.example.com", "has no port"),
        ("smtp://mail.example.com:99999", "has no port"),
    ],
)
def test_an_address_of_a_server_that_is_no_use_is_refused_without_its_secret(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        server(url)
    assert "secret" not in str(caught.value)


def test_addresses_of_servers() -> None:
    assert (server("smtp://mail.example.com").port, server("smtps://mail.example.com").port) == (25, 465)
    assert server("smtp://mail.example.com").start_tls == "offered"
    assert "hidden" not in repr(server("smtp://u:hidden@mail.example.com"))


@pytest.mark.parametrize("text", ["freshet", "a@b", "x\r\nBcc: <a@example.com>", "a@example.com, b@example.com"])
def test_a_sender_is_one_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not a mail address"):
        sender(text)
    assert sender("Freshet at work <freshet@example.com>") == Address("Freshet at work", addr_spec="freshet@example.com")
