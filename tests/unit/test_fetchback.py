"""Files fetched back from an archive: whole and proven under their name, or not there at all."""

import errno
import os
from pathlib import Path

import pytest

from nightferry.core.errors import Gone, Held, NoSpace
from nightferry.core.frame import Digest
from nightferry.core.store import StorePath
from nightferry.steps.fetchback import fetch_back
from nightferry.stores.memory import MemoryDisk, MemoryFile, MemoryStore
from tests.unit.conftest import THEN_US, digest_of, frame_bytes

NAME = StorePath("M 31/a.fits")


def archive(data: bytes) -> MemoryStore:
    return MemoryStore(MemoryDisk({NAME: MemoryFile(data, THEN_US)}), "memory:library")


def test_a_file_comes_back_whole(tmp_path: Path) -> None:
    data = frame_bytes()
    fetch_back(archive(data), NAME, Digest(digest_of(data)), tmp_path / "shelf" / "a")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "shelf").iterdir()] == [("a", data)]


def test_other_bytes_than_those_that_were_delivered_never_get_the_name(tmp_path: Path) -> None:
    data = frame_bytes()
    changed = data[:-1] + b"x"
    with pytest.raises(Held, match="instead of"):
        fetch_back(archive(changed), NAME, Digest(digest_of(data)), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Gone):
        fetch_back(archive(data), StorePath("other"), Digest(digest_of(data)), tmp_path / "a")


def test_a_file_that_cannot_be_synced_never_gets_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    data = frame_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpace):
        fetch_back(archive(data), NAME, Digest(digest_of(data)), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
