"""The cloud's mail: through the configured server, or, while there is none, one file a message in the data folder.

Mail holds links that are as good as passwords, so the files are readable by the server's user alone, and nothing of a
message reaches the log but where it went. A mail server that fails is tried again; then the message is kept as a file,
so that whoever runs the cloud can find it.
"""

import asyncio
import logging
import os
import smtplib
import ssl
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formataddr, formatdate, make_msgid
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from cloudchamber.ids import new_id

_log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 20.0
_ATTEMPTS: Final = 3
_PAUSE_S: Final = (1.0, 5.0)
# Sending is a conversation with another machine that mostly waits; two keep a slow server from holding up a reset.
_THREADS: Final = 2


class MailServerInvalid(ValueError):
    """A URL that names no mail server; the message says how one is written."""


@dataclass(frozen=True, slots=True)
class MailServer:
    host: str
    port: int
    uses_tls: bool
    """From the first byte on (`smtps`); otherwise STARTTLS is demanded unless the server is on this machine or
    `starttls=never` says so."""
    starttls: bool
    username: str = ""
    password: str = ""

    @classmethod
    def parse(cls, url: str) -> "MailServer":
        """`smtp://[USER:PASSWORD@]HOST[:PORT][?starttls=never]` or `smtps://…`. Raises MailServerInvalid."""
        parts = urlsplit(url)
        wrong = MailServerInvalid("write smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST:465")
        try:
            port = parts.port
        except ValueError as error:
            raise wrong from error
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
            raise wrong
        uses_tls = parts.scheme == "smtps"
        is_local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
        asked = parse_qs(parts.query).get("starttls", ["never" if is_local else "always"])[0]
        return cls(
            parts.hostname,
            port or (465 if uses_tls else 587),
            uses_tls,
            not uses_tls and asked != "never",
            unquote(parts.username or ""),
            unquote(parts.password or ""),
        )

    def send(self, message: EmailMessage) -> None:
        """Blocking. Raises OSError, smtplib.SMTPException."""
        context = ssl.create_default_context()
        connection: smtplib.SMTP
        if self.uses_tls:
            connection = smtplib.SMTP_SSL(self.host, self.port, timeout=_TIMEOUT_S, context=context)
        else:
            connection = smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT_S)
        with connection:
            if self.starttls:
                connection.starttls(context=context)
            if self.username:
                connection.login(self.username, self.password)
            connection.send_message(message)


class Background:
    """Mail that nobody waits for."""

    def __init__(self, failed: str) -> None:
        """`failed` is what the log says of one that came to nothing."""
        self._failed = failed
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)

    async def close(self) -> None:
        """Waits for all of it."""
        await asyncio.gather(*self._running, return_exceptions=True)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s: %s", self._failed, type(error).__name__)


class Outbox:
    def __init__(self, folder: Path, server: MailServer | None = None, sender: str = "") -> None:
        """`sender` is the address that mail comes from."""
        self._folder = folder
        self._server = server
        self._sender = sender or "cloudchamber@localhost"
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mail")
        self._background = Background("a mail could not be written")

    async def drain(self) -> None:
        """Waits for what `send_soon` was given."""
        await self._background.close()

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def send(self, to: str, subject: str, text: str, *, sender_name: str = "") -> None:
        """`sender_name` stands before the address: a product's customers get mail of the product.

        Raises OSError where the message could neither be sent nor kept.
        """
        message = EmailMessage()
        try:
            message["To"] = to
            message["Subject"] = _one_line(subject)
            message["From"] = formataddr((_one_line(sender_name), self._sender))
        except (ValueError, IndexError):
            # Any unique text may be a customer's name; not every one is an address.
            _log.warning("a mail was not sent: its address cannot be one")
            return
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2] or "localhost")
        message.set_content(text)
        if self._server is not None and await self._sent(self._server, message):
            return
        path = await self._in_thread(lambda: self._write(message.as_bytes()))
        _log.info("no mail server took the mail: it was written to %s", path)

    def send_soon(self, to: str, subject: str, text: str) -> None:
        """As `send`; nobody waits for it."""
        self._background.start(self.send(to, subject, text))

    async def _sent(self, server: MailServer, message: EmailMessage) -> bool:
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE_S[attempt - 1])
            try:
                await self._in_thread(lambda: server.send(message))
            except smtplib.SMTPRecipientsRefused:
                _log.warning("the mail server refuses the address of a mail")
                return True
            except (OSError, smtplib.SMTPException) as error:
                _log.warning("the mail server %s failed: %s", server.host, type(error).__name__)
            else:
                return True
        return False

    async def _in_thread(self, work: Callable[[], "Path | None"]) -> "Path | None":
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _write(self, content: bytes) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{new_id()}.eml"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        return path


def _one_line(text: str) -> str:
    return " ".join(text.split())
