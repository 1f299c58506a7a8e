"""A telescope, a shelf, archives and a ledger in one process: what the tests of steps and conductor work on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from nightferry.assemble import naming
from nightferry.config import load_preset
from nightferry.core.context import Site
from nightferry.core.frame import Digest, Frame, Role, Sighting
from nightferry.core.ledger import Account
from nightferry.core.night import Night, Nights
from nightferry.core.progress import Nobody
from nightferry.core.receipt import Receipt
from nightferry.core.store import Store, StorePath
from nightferry.core.telescope import Telescope
from nightferry.ledger.sql import SqlLedger, open_ledger
from nightferry.passes.route import Route
from nightferry.passes.run import Orders, Pass, run_pass
from nightferry.steps.deliver import Deliver
from nightferry.steps.pull import Pull
from nightferry.steps.shelf import Shelf
from nightferry.steps.verify import Verify
from nightferry.stores.memory import MemoryDisk, MemoryFile, MemoryStore
from nightferry.testing.conform_memory import FaultyWire
from nightferry.testing.encode import fits_image

NIGHT = Night("vespera", date(2026, 9, 11))
SESSION = "2026-09-11_21-10-37_observation_M31"
THEN_US = 1_789_161_037_000_000


def frame_bytes(seed: int = 1, size: tuple[int, int] = (32, 24)) -> bytes:
    """Make a small whole FITS frame, another one for each seed."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 60_000, (height, width), np.uint16)
    return fits_image([("OBJECT", "M31", "target")], pixels)


def until(condition: Callable[[], bool], what: str, seconds: float = 300.0) -> None:
    """Wait until something is so, or fail with what it was that did not come."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"waited {seconds:g} s in vain until {what}"
        time.sleep(0.01)


def digest_of(data: bytes) -> str:
    """Tell the digest of some bytes."""
    return blake3(data).hexdigest()


def light(number: int) -> StorePath:
    """Name a frame as the telescope does."""
    return StorePath(f"{SESSION}/01-images-initial/img-{number:04d}.fits")


def name_of(number: int) -> StorePath:
    """Name the same frame as the library does."""
    return StorePath(f"M 31/M 31_2026-09-11_21-10-37_img-{number:04d}.fits")


def sighting_of(path: StorePath, data: bytes, mtime_us: int | None = THEN_US) -> Sighting:
    """Tell what the telescope shows of a file."""
    return Sighting(NIGHT, path, len(data), mtime_us, THEN_US)


@dataclass
class Far:
    """A far side in memory, with a wire that can be made to misbehave."""

    label: str
    disk: MemoryDisk = field(default_factory=MemoryDisk)
    wire: FaultyWire = field(default_factory=FaultyWire)

    @property
    def store(self) -> MemoryStore:
        return MemoryStore(self.disk, self.label, self.wire)

    def plant(self, path: StorePath, data: bytes, mtime_us: int = THEN_US) -> Sighting:
        """Write a file there, and tell how it is seen."""
        self.disk.files[path] = MemoryFile(data, mtime_us)
        return sighting_of(path, data, mtime_us)

    def content(self) -> dict[str, bytes]:
        """Look at all files."""
        return {path: file.data for path, file in self.disk.files.items()}


class Witness(Nobody):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.receipts: list[Receipt] = []
        self.settled: list[int] = []
        self.plans: list[tuple[int, int]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def receipt(self, sighting: Sighting, receipt: Receipt) -> None:
        self.receipts.append(receipt)

    def settling(self, files: int, seconds: float) -> None:
        self.settled.append(files)

    def planned(self, frames: int, size: int) -> None:
        self.plans.append((frames, size))


@dataclass
class Bench:
    """A whole route in this process."""

    home: Path
    ledger: SqlLedger
    telescope: Far = field(default_factory=lambda: Far("memory:telescope"))
    library: Far = field(default_factory=lambda: Far("memory:library"))
    witness: Witness = field(default_factory=Witness)
    stop: threading.Event = field(default_factory=threading.Event)
    floor: int = 0
    settle: float = 0.0
    keep: float = 14 * 86400.0
    clear_after: float | None = None
    site: Site | None = None

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.home / "shelf", self.floor)

    def route(
        self, source: Store | None = None, archives: Mapping[str, Store] | None = None, handover: Collection[str] = ()
    ) -> Route:
        """Put the route together; any store may be another one."""
        preset = load_preset("vespera")
        layout = preset.as_layout(None, self.site.longitude if self.site else None)
        origin = source or self.telescope.store
        stores = archives or {"library": self.library.store}
        named = naming(preset.name, layout)
        return Route(
            telescope=Telescope("vespera", layout, tuple(stores), self.settle, self.site, self.clear_after),
            source=origin,
            shelf=self.shelf,
            pull=Pull(origin, self.shelf, self.witness, self.stop),
            verify=Verify(),
            deliveries={name: Deliver(store, name, named) for name, store in stores.items()},
            lock=self.home / "lock",
            keep=self.keep,
            may_be_empty=frozenset(handover),
            handover=frozenset(handover),
        )

    def carry(self, orders: Orders | None = None, route: Route | None = None, nights: Nights | None = None) -> Pass:
        """Make one pass over all nights."""
        chosen = nights or Nights(every=True)
        return run_pass(
            route or self.route(), self.ledger, chosen, orders or Orders(), onlooker=self.witness, stop=self.stop
        )

    def account(self, path: StorePath) -> Account:
        """Ask the ledger for the newest frame of a path."""
        return [account for account in self.ledger.accounts("vespera") if account.sighting.path == path][-1]

    def told(self, path: StorePath) -> list[tuple[str, str]]:
        """Ask the ledger for the steps and outcomes of a frame, oldest first."""
        return [(receipt.step, str(receipt.outcome)) for receipt in self.account(path).receipts]

    def bins(self) -> dict[str, str]:
        """Ask the ledger where every frame stands."""
        return {account.sighting.path: str(account.standing.bin) for account in self.ledger.accounts("vespera")}

    def shelved(self, path: StorePath, data: bytes, **facts: str) -> Frame:
        """Put a frame on the shelf as if it had been pulled."""
        seen = sighting_of(path, data)
        file = self.shelf.file(seen)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return Frame(seen.id, Digest(digest_of(data)), len(data), NIGHT, path, Role.RAW, file, facts)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A route without pauses between tries."""
    monkeypatch.setattr("nightferry.passes.carry.RETRY_PAUSES", (0.0, 0.0))
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield Bench(tmp_path, ledger)
    ledger.close()
