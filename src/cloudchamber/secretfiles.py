"""Key files of the data folder: written once, whole, and readable by the server's user alone."""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from cloudchamber.errors import CloudError


class SecretFileUnusable(CloudError):
    """A key file cannot be used; the message says what to do. The cloud does not start with it."""

    code: ClassVar[str] = "secret_file_unusable"


def load_or_make(path: Path, make: Callable[[], bytes]) -> bytes:
    """The content of `path`, made by `make` when there is no such file. Raises SecretFileUnusable."""
    if not path.exists():
        with contextlib.suppress(FileExistsError):  # another process was faster: its key is the key
            _write_once(path, make())
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise SecretFileUnusable(
                f"{path} can be read by other users of this machine (mode {mode:04o}). If nobody else has read it, run:"
                f" chmod 600 {path}"
            )
        return path.read_bytes()
    except OSError as error:
        raise SecretFileUnusable(
            f"{path} cannot be read ({error.strerror}). Run the cloud as the user who owns the data folder."
        ) from error


def _write_once(path: Path, content: bytes) -> None:
    """The whole file or none, readable by nobody else from its first byte. Raises FileExistsError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A link refuses to take a name that exists, where a rename would silently replace another process's key.
        os.link(draft, path)
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
