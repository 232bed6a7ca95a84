import os
import stat
import threading
from pathlib import Path

import pytest

from cloudchamber.secretfiles import SecretFileUnusable, load_or_make


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    old = os.umask(0)
    try:
        assert load_or_make(path, lambda: b"first") == b"first"
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_make(path, lambda: b"second") == b"first"
    assert list(tmp_path.iterdir()) == [path]  # no draft is left


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    load_or_make(path, lambda: b"secret")
    path.chmod(mode)
    with pytest.raises(SecretFileUnusable, match="chmod 600") as refused:
        load_or_make(path, lambda: b"x")
    assert "secret" not in f"{refused.value.message}{refused.value.detail}"


def test_a_key_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir(mode=0o700)
    with pytest.raises(SecretFileUnusable, match="cannot be read"):
        load_or_make(tmp_path / "key", lambda: b"x")


def test_of_many_who_start_at_once_all_get_one_key(tmp_path: Path) -> None:
    start, keys = threading.Barrier(8), []

    def run() -> None:
        def make() -> bytes:
            start.wait()  # all have found no file
            return os.urandom(16)

        keys.append(load_or_make(tmp_path / "key", make))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    def make() -> bytes:
        raise ValueError

    with pytest.raises(ValueError):
        load_or_make(tmp_path / "key", make)
    assert list(tmp_path.iterdir()) == []
