"""Mail through a real mail server, and what becomes of it without one."""

import asyncio
import email
import logging
from collections.abc import AsyncIterator
from email.message import Message
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from cloudchamber.identity import outbox
from cloudchamber.identity.outbox import MailServer, MailServerInvalid, Outbox


class Inbox:
    """What a mail server took; `refusals` are the answers that it gives first."""

    def __init__(self) -> None:
        self.messages: list[tuple[list[str], Message]] = []
        self.refusals: list[str] = []
        self.port = 0

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd calls it so
        if self.refusals:
            return self.refusals.pop(0)
        assert isinstance(envelope.content, bytes)
        self.messages.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content)))
        return "250 OK"


def check(_server: object, _session: object, _envelope: object, _mechanism: str, auth: object) -> AuthResult:
    is_right = isinstance(auth, LoginPassword) and (auth.login, auth.password) == (b"cloud", b"p@ss")
    return AuthResult(success=is_right, handled=is_right)


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    found = Inbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(found, authenticator=check, auth_require_tls=False, loop=loop), "127.0.0.1", 0
    )
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()


async def test_mail_goes_to_the_server(inbox: Inbox, tmp_path: Path) -> None:
    server = MailServer.parse(f"smtp://cloud:p%40ss@127.0.0.1:{inbox.port}")
    sending = Outbox(tmp_path / "mail", server, "noreply@lamp.example")
    await sending.send(
        "jane@example.com", "Reset your\npassword", "Grüße\n\nhttps://a.example/x", sender_name="Lamp, Inc"
    )
    sending.close()
    ((to, message),) = inbox.messages
    assert to == ["jane@example.com"]
    assert message["From"] == '"Lamp, Inc" <noreply@lamp.example>'
    assert message["Subject"] == "Reset your password"
    assert message["Message-ID"].endswith("@lamp.example>")
    body = message.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert "Grüße" in body.decode()
    assert not (tmp_path / "mail").exists()


async def test_a_server_that_fails_is_tried_again_and_the_mail_kept(
    inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "_PAUSE_S", (0.01, 0.01))
    caplog.set_level(logging.INFO)
    sending = Outbox(tmp_path / "mail", MailServer.parse(f"smtp://127.0.0.1:{inbox.port}"))
    inbox.refusals = ["451 later", "451 later"]
    await sending.send("jane@example.com", "s", "SECRETLINK")
    assert len(inbox.messages) == 1
    inbox.refusals = ["451 later"] * 3
    await sending.send("jane@example.com", "s", "SECRETLINK")
    assert len(inbox.messages) == 1
    (kept,) = (tmp_path / "mail").iterdir()
    assert "SECRETLINK" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0
    assert str(kept) in caplog.text
    assert "SECRETLINK" not in caplog.text
    assert "p@ss" not in caplog.text
    wrong = Outbox(tmp_path / "wrong", MailServer.parse(f"smtp://cloud:wrong@127.0.0.1:{inbox.port}"))
    await wrong.send("jane@example.com", "s", "t")
    assert len(list((tmp_path / "wrong").iterdir())) == 1
    sending.close()
    wrong.close()


async def test_a_name_that_is_no_address_gets_no_mail(tmp_path: Path) -> None:
    sending = Outbox(tmp_path / "mail")
    await sending.send("kim\r\nBcc: eve@example.com", "s", "t")
    assert not (tmp_path / "mail").exists()
    sending.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example", MailServer("mail.example", 587, uses_tls=False, starttls=True)),
        ("smtp://u:p@mail.example:2525?starttls=never", MailServer("mail.example", 2525, False, False, "u", "p")),
        ("smtps://u@mail.example", MailServer("mail.example", 465, True, False, "u")),
        ("smtp://localhost:25", MailServer("localhost", 25, False, False)),
    ],
)
def test_how_a_server_is_written(url: str, expected: MailServer) -> None:
    assert MailServer.parse(url) == expected


@pytest.mark.parametrize("url", ["mail.example", "http://mail.example", "smtp://", "smtp://a:99999"])
def test_what_is_no_server(url: str) -> None:
    with pytest.raises(MailServerInvalid, match=r"smtp://USER:PASSWORD@HOST:587"):
        MailServer.parse(url)
