"""Where the cloud's mail goes while no mail server is configured: one file a message in the data folder.

The files hold links that are as good as passwords, so they are readable by the server's user alone.
"""

import asyncio
import logging
import os
from email.message import EmailMessage
from pathlib import Path

from cloudchamber.ids import new_id

_log = logging.getLogger(__name__)


class Outbox:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, to: str, subject: str, text: str) -> None:
        message = EmailMessage()
        message["To"] = to
        message["Subject"] = subject
        message.set_content(text)
        path = await asyncio.to_thread(self._write, message.as_bytes())
        _log.info("no mail server is configured: the mail was written to %s", path)

    def _write(self, content: bytes) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{new_id()}.eml"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        return path
