"""Pull: carry frames from the telescope to the shelf, whole, proven whole, and durable.

Bytes are read once: digest, structure and DATASUM are made of them while they arrive. The end of the data is
never taken as proof. What counts is, all together: the store confirms the transfer, as many bytes came as the
telescope showed, size and time there are still the same; `nightferry.steps.verify` then judges the structure.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from nightferry.core.errors import Changed, Held, NightferryError, NoSpace, Stopped, TryAgain, Unreachable
from nightferry.core.frame import Digest, Fact, Frame, Sighting
from nightferry.core.progress import Nobody, Onlooker
from nightferry.core.receipt import Outcome, Receipt, Result
from nightferry.core.step import PULL
from nightferry.core.store import BUFFER_SIZE, Arrival, Entry, Store, Want
from nightferry.disk.errors import own_error, translated
from nightferry.disk.files import WholeFile, land, make_folders, part_of
from nightferry.formats.findings import Findings, Inspector
from nightferry.formats.inspect import inspector_for
from nightferry.steps.shelf import Shelf

#: Below this, starting over costs less than finding out whether what is here still fits.
RESUME_FROM = 1 << 20
#: So many bytes before the break are fetched again and compared: the part must be of this very file.
OVERLAP = 64 << 10
# As `open` does it, but keeping what is in the part: looking at it by name before is one call more for each frame.
_PART_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
#: The fact that a frame lies on the shelf since an earlier pass, so that anything may have happened to its file.
SHELVED = "shelved"


@dataclass(slots=True)
class _Copy:
    """One frame on its way to the shelf: the open part, and what its bytes said until now."""

    sighting: Sighting
    place: Path
    file: WholeFile
    hasher: blake3
    inspector: Inspector
    received: int = 0
    resumed: int = 0
    tail: bytes = b""
    seconds: float = 0.0

    def take(self, chunk: memoryview) -> None:
        """Write and inspect the next bytes."""
        if self.received + len(chunk) > self.sighting.size:
            raise Changed(
                f"{self.sighting.path}: more than the {self.sighting.size:,} bytes that the telescope showed came; "
                "the file is still growing"
            )
        self.file.write(chunk)
        self.hasher.update(chunk)
        self.inspector.feed(chunk)
        self.received += len(chunk)

    def compare_overlap(self, chunk: memoryview) -> memoryview:
        """Take off and compare the bytes that are here already."""
        count = min(len(self.tail), len(chunk))
        if self.tail[:count] != chunk[:count]:
            raise Changed(f"{self.sighting.path}: the bytes at the telescope are not those that came before the break")
        self.tail = self.tail[count:]
        return chunk[count:]


class _Landed(NamedTuple):
    """A frame that came whole, how the telescope confirmed it, and what its bytes said."""

    copy: _Copy
    entry: Entry
    findings: Findings


@dataclass(frozen=True, slots=True)
class Pull:
    """The step that fetches. Its input are sightings, its products whole raw frames on the shelf."""

    store: Store
    shelf: Shelf
    onlooker: Onlooker = field(default_factory=Nobody)
    stop: threading.Event = field(default_factory=threading.Event)
    name: str = PULL
    version: str = "1"
    target: str = ""

    def __call__(self, batch: Sequence[Sighting]) -> Iterator[Result]:
        """Fetch the frames over one connection and land them together.

        Raises `Unreachable` and `NoSpace` for the rest of the batch, `Stopped` when asked to stop.
        """
        missing: list[Sighting] = []
        for sighting in batch:
            if self._here(sighting):
                yield self._adopt(sighting)
            else:
                missing.append(sighting)
        if missing:
            self.shelf.require_room(sum(sighting.size for sighting in missing))
            yield from self._fetch(missing)

    def _here(self, sighting: Sighting) -> bool:
        return self.shelf.has(sighting.id, sighting.night, sighting.size)

    def _adopt(self, sighting: Sighting) -> Result:
        """Take a frame that landed before a crash took its receipt: read it again, as proof."""
        started = time.perf_counter()
        path = self.shelf.file(sighting)
        hasher, inspector = blake3(), inspector_for(sighting.path, sighting.size)
        with translated(path, "the shelf"), FileIO(path) as file:
            _read_prefix(file, sighting.size, hasher, inspector)
        product = _frame(sighting, path, hasher, inspector.finish(), {"adopted": True})
        return Result(sighting, Outcome.DONE, "", product.facts, product, time.perf_counter() - started)

    def _fetch(self, sightings: Sequence[Sighting]) -> Iterator[Result]:
        """Fetch each; land those that came whole; answer for each. A trouble of the whole store comes last."""
        landed: list[_Landed] = []
        failures: list[Result] = []
        trouble: NightferryError | None = None
        with ExitStack() as files:
            copies = self._open_all(sightings, files)
            try:
                self._receive_all(copies, landed, failures)
            except NightferryError as err:
                trouble = err
            landed, unlanded = self._land(landed, failures)
            trouble = trouble or unlanded
        yield from map(_done, landed)
        yield from failures
        if trouble is not None:
            raise trouble

    def _receive_all(self, copies: Sequence[_Copy], landed: list[_Landed], failures: list[Result]) -> None:
        """Receive one frame after the other; one that fails costs no other."""
        buffer = memoryview(bytearray(BUFFER_SIZE))
        wants = [_want(copy) for copy in copies]
        with closing(self.store.fetch(wants)) as arrivals:  # type: ignore[type-var] # generators have close
            for copy, arrival in zip(copies, arrivals, strict=False):
                began = time.perf_counter()
                try:
                    entry = self._receive(copy, arrival, buffer)
                except (Unreachable, NoSpace):
                    raise
                except (TryAgain, Held) as err:
                    failures.append(_failure(copy, err, time.perf_counter() - began))
                else:
                    findings = copy.inspector.finish()  # which lets go of the header that it keeps
                    copy.seconds = time.perf_counter() - began
                    landed.append(_Landed(copy, entry, findings))

    def _open_all(self, sightings: Sequence[Sighting], files: ExitStack) -> list[_Copy]:
        with translated(self.shelf.root, "the shelf"):
            for night in {sighting.night for sighting in sightings}:
                make_folders(self.shelf.folder(night))
            resumes = self.store.traits.resumes
            return [self._open(sighting, files, resumes=resumes) for sighting in sightings]

    def _open(self, sighting: Sighting, files: ExitStack, *, resumes: bool) -> _Copy:
        """Open the part; what is in it already counts if the rest can be fetched on its own."""
        place = self.shelf.file(sighting)
        descriptor = os.open(part_of(place), _PART_FLAGS, 0o666)
        file = WholeFile(descriptor, "r+")
        files.callback(file.close)
        copy = _Copy(sighting, place, file, blake3(), inspector_for(sighting.path, sighting.size))
        have = os.fstat(descriptor).st_size
        if resumes and RESUME_FROM <= have <= sighting.size:
            copy.tail = _read_prefix(file, have, copy.hasher, copy.inspector, keep=OVERLAP)
            copy.received = copy.resumed = have
        elif have:
            file.truncate(0)
        return copy

    def _receive(self, copy: _Copy, arrival: Arrival, buffer: memoryview) -> Entry:
        """Read one arrival to its end and have it confirmed."""
        sighting = copy.sighting
        self.onlooker.started(sighting.path, sighting.size)
        if copy.received:
            self.onlooker.moved(sighting.path, copy.received)
        try:
            while count := arrival.read_into(buffer):
                if self.stop.is_set():
                    raise Stopped("asked to stop")
                chunk = copy.compare_overlap(buffer[:count]) if copy.tail else buffer[:count]
                try:
                    copy.take(chunk)
                except OSError as err:
                    raise own_error(err, self.shelf.root, "the shelf") from err
                self.onlooker.moved(sighting.path, len(chunk))
            entry = arrival.finish()
            if copy.received != sighting.size:
                raise TryAgain(
                    f"{sighting.path}: the telescope said that all was sent, but {copy.received:,} of "
                    f"{sighting.size:,} bytes came"
                )
        except Changed:
            # What is here belongs to no state of the file that we could name: never build on it.
            copy.file.seek(0)
            copy.file.truncate()
            raise
        return entry

    def _land(
        self, received: Sequence[_Landed], failures: list[Result]
    ) -> tuple[list[_Landed], NightferryError | None]:
        """Give frames their names on the shelf; one that cannot have its own costs no other.

        Returns those that landed, and the trouble that concerns the shelf as a whole.
        """
        landed: list[_Landed] = []
        trouble: NightferryError | None = None
        with translated(self.shelf.root, "the shelf"):
            answers = land([(one.copy.file, one.copy.place) for one in received])
        for one, err in zip(received, answers, strict=True):
            if err is None:
                landed.append(one)
            elif isinstance(err, (TryAgain, Held)) and not isinstance(err, (Unreachable, NoSpace)):
                failures.append(_failure(one.copy, err, one.copy.seconds))
            else:
                trouble = err
        return landed, trouble


def _done(landed: _Landed) -> Result:
    copy, entry = landed.copy, landed.entry
    facts: dict[str, Fact] = {"confirmed_size": entry.size, "confirmed_mtime_us": entry.mtime_us}
    if copy.resumed:
        facts["resumed_from"] = copy.resumed
    product = _frame(copy.sighting, copy.place, copy.hasher, landed.findings, facts)
    return Result(copy.sighting, Outcome.DONE, "", product.facts, product, copy.seconds)


def _want(copy: _Copy) -> Want:
    sighting = copy.sighting
    return Want(sighting.path, sighting.size, sighting.mtime_us, copy.received - len(copy.tail))


def _failure(copy: _Copy, err: TryAgain | Held, seconds: float) -> Result:
    outcome = Outcome.HELD if isinstance(err, Held) else Outcome.FAILED
    return Result(copy.sighting, outcome, str(err), {"received": copy.received}, None, seconds)


def _read_prefix(file: FileIO, size: int, hasher: blake3, inspector: Inspector, keep: int = 0) -> bytes:
    """Read the first ``size`` bytes through digest and inspector; give back the last ``keep`` of them."""
    buffer = memoryview(bytearray(BUFFER_SIZE))
    tail = b""
    left = size
    while left and (count := file.readinto(buffer[: min(left, BUFFER_SIZE)])):
        hasher.update(buffer[:count])
        inspector.feed(buffer[:count])
        tail = (tail + bytes(buffer[max(0, count - keep) : count]))[-keep:] if keep else b""
        left -= count
    return tail


def _frame(sighting: Sighting, path: Path, hasher: blake3, findings: Findings, facts: dict[str, Fact]) -> Frame:
    """Make the frame, with all that its bytes said among its facts."""
    digest = Digest(hasher.hexdigest())
    return frame_of(sighting, path, digest, facts | _told(findings))


def _told(findings: Findings) -> dict[str, Fact]:
    told: dict[str, Fact] = {"kind": findings.kind, "checksums": findings.checksums, **findings.facts}
    if findings.problem:
        told["problem"] = findings.problem
    if findings.warnings:
        told["warnings"] = "; ".join(findings.warnings)
    return told


def frame_of(sighting: Sighting, path: Path, digest: Digest, facts: Mapping[str, Fact]) -> Frame:
    """Make the raw frame that a sighting became."""
    return Frame(sighting.id, digest, sighting.size, sighting.night, sighting.path, sighting.role, path, facts)


def pulled_digest(receipts: Sequence[Receipt]) -> Digest | None:
    """Return the digest of what the last pull landed."""
    done = [receipt for receipt in receipts if receipt.step == PULL and receipt.outcome is Outcome.DONE]
    return done[-1].digest if done else None


def pulled_frame(sighting: Sighting, receipts: Sequence[Receipt], shelf: Shelf) -> Frame | None:
    """Return the frame that an earlier pull landed, from its receipt; None when it is not on the shelf (any more)."""
    frame = described_frame(sighting, receipts, shelf)
    return frame if frame and shelf.has(sighting.id, sighting.night, sighting.size) else None


def described_frame(sighting: Sighting, receipts: Sequence[Receipt], shelf: Shelf) -> Frame | None:
    """Return the frame that an earlier pull landed, whether it is on the shelf still or not; None when none did."""
    done = [receipt for receipt in receipts if receipt.step == PULL and receipt.outcome is Outcome.DONE]
    if not done or done[-1].digest is None:
        return None
    return frame_of(sighting, shelf.file(sighting), done[-1].digest, {**done[-1].proof, SHELVED: True})
