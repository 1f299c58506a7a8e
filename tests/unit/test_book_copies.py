"""Copies of the books: whatever dies while one is replaced, the old text or the new one is there as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from nightferry.books import copies
from nightferry.books.copies import BESIDE, Copier, replace_copy
from nightferry.core.errors import NightferryError, Unreachable
from nightferry.core.store import Load, StorePath
from nightferry.stores.memory import GoodWire, MemoryDisk, MemoryStore
from tests.unit.conftest import Far, Witness, until

NAME = StorePath("vespera/transfer_log.txt")
BESIDE_NAME = StorePath(NAME + BESIDE)
OLD, NEW = b"20260911 3 -\n", b"20260911 4 -\n20260912 16 -\n"


@dataclass
class Mortal(GoodWire):
    """A wire that goes dead at the n-th request or change, before or after that was done."""

    breath: int
    taken: int = 0

    def ask(self) -> None:
        self.taken += 1
        if self.taken > self.breath:
            raise Unreachable("memory: is away")

    def change(self) -> None:
        self.ask()

    def keep(self, kept: int, ready: int) -> int:
        self.ask()
        return ready


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "books" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(OLD)
    return path


def content(disk: MemoryDisk) -> dict[str, bytes]:
    return {path: file.data for path, file in disk.files.items()}


def bring(book: Path, disk: MemoryDisk, wire: GoodWire) -> bool:
    """Replace the copy; whether the store lived through it."""
    try:
        replace_copy(MemoryStore(disk, wire=wire), Load(book, NAME))
    except NightferryError:
        return False
    return True


def test_a_store_that_dies_at_any_moment_keeps_a_whole_text_and_the_next_try_makes_an_end(book: Path) -> None:
    moments = 0
    for breath in range(100):
        disk = MemoryDisk()
        book.write_bytes(OLD)
        assert bring(book, disk, GoodWire())
        book.write_bytes(NEW)
        lived = bring(book, disk, Mortal(breath))
        there = content(disk)
        assert there.keys() <= {NAME, BESIDE_NAME}
        assert all(text in {OLD, NEW} for text in there.values())
        assert NAME in there or there[BESIDE_NAME] == NEW, f"after {breath} requests no whole copy is there"
        for second in range(breath):  # and it dies again, at every moment of the next try
            bring(book, disk, Mortal(second))
            assert {OLD, NEW} & set(content(disk).values())
        assert bring(book, disk, GoodWire())
        assert content(disk) == {NAME: NEW}
        if lived:
            break
        moments += 1
    assert moments > 8, "it did die in between"


def copied(book: Path, far: Far, *, stop_at: dict[str, bytes]) -> list[str]:
    """Let a copier work until the far side is as it should be, and tell what it said."""
    witness = Witness()
    with Copier(book.parents[1], "vault", far.store, witness.note):
        until(lambda: far.content() == stop_at, "the copy is there")
    return witness.notes


def test_what_was_copied_is_not_copied_again_and_what_changed_while_nobody_ran_is(book: Path) -> None:
    far = Far("memory:vault")
    assert copied(book, far, stop_at={NAME: OLD}) == []
    first = far.disk.files[NAME]
    assert copied(book, far, stop_at={NAME: OLD}) == []
    assert far.disk.files[NAME] is first
    book.with_suffix(".part").write_bytes(NEW)
    book.with_suffix(".part").replace(book)
    assert copied(book, far, stop_at={NAME: NEW}) == []


def test_a_store_that_is_away_gets_the_copy_from_a_later_process(book: Path) -> None:
    far = Far("memory:vault")
    far.wire.lives = 0
    witness = Witness()
    with Copier(book.parents[1], "vault", far.store, witness.note):
        until(lambda: bool(witness.notes), "the trouble is told")
    assert "the books could not be copied to vault, and are tried again" in witness.notes[0]
    assert far.content() == {}
    far.wire.lives = None
    assert copied(book, far, stop_at={NAME: OLD}) == []


def test_notes_that_were_torn_or_grew_long_cost_at_most_another_copy(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = Far("memory:vault")
    copied(book, far, stop_at={NAME: OLD})
    notes = book.parents[1] / ".copied-to-vault"
    whole = notes.read_text()
    notes.write_text(whole[:-5])
    first = far.disk.files[NAME]
    witness = Witness()
    with Copier(book.parents[1], "vault", far.store, witness.note):
        until(lambda: far.content() == {NAME: OLD} and far.disk.files[NAME] is not first, "it is copied again")
    monkeypatch.setattr(copies, "_LONG", 10)
    notes.write_text(whole * 20)
    assert copied(book, far, stop_at={NAME: OLD}) == []
    assert notes.read_text() == whole
