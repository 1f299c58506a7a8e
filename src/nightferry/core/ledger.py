"""The ledger: sightings and receipts, append-only, and the questions that are asked of them.

A sighting is replaced by the next one of the same path (the file changed before or after we pulled it).
A state of a file that was never pulled and is no longer there is not a frame; a state that was pulled is one
for ever. So the frames of a night are: the last sighting of each path, and every earlier sighting whose pull
is done.

The same state may be sighted again: because a rule says something else about it now, or because the file
changed and changed back. It is the same frame, told by its newest sighting, with the receipts it has.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple, Protocol

from nightferry.core.alert import Outbox
from nightferry.core.balance import Balance, Bin, Expectation, Standing, expectation_of_made, standing_of
from nightferry.core.frame import Digest, Fact, FrameId, Role, Sighting, made_here
from nightferry.core.night import Night
from nightferry.core.overview import Contact, NightLine, Overview
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import AUDIT, CLEAR, DELIVER, PULL
from nightferry.core.store import StorePath

_FEWEST_DIGITS = 8


class Known(NamedTuple):
    """The last sighting of a path, as much of it as a listing is compared with.

    ``rule`` is why it is refused or ignored. (A tuple, because 100,000 of them are made on each pass.)
    """

    id: FrameId
    evening: date
    size: int
    mtime_us: int | None
    seen_us: int
    bin: Bin
    next_try_us: int
    rule: str


@dataclass(frozen=True, slots=True)
class Account:
    """One frame with all that is known of it, receipts oldest first.

    One that we made of many has no telescope's sighting; `made_account` says what stands there.
    """

    sighting: Sighting
    standing: Standing
    receipts: tuple[Receipt, ...]

    @property
    def id(self) -> FrameId:
        """The frame's identity."""
        return self.sighting.id

    @property
    def night(self) -> Night:
        """The night that it belongs to."""
        return self.sighting.night

    @property
    def name(self) -> str:
        """Its path at the telescope; of a made frame its name in archives without folders, or its key."""
        return str(self.sighting.path)

    @property
    def size(self) -> int:
        """Its bytes; 0 for a made frame as long as it was never made."""
        return self.sighting.size

    @property
    def made(self) -> bool:
        """Whether we made it of many, such as a cube."""
        return self.sighting.role is Role.CUBE

    @property
    def step(self) -> str:
        """The step that it begins with: the pull, or the one that makes it."""
        return self.receipts[0].step if self.made else PULL

    @property
    def digest(self) -> Digest | None:
        """The BLAKE3 of its bytes; None as long as they were never here."""
        return next((told.digest for told in reversed(self.receipts) if told.step == self.step and told.digest), None)

    @property
    def key(self) -> str:
        """What the parents of a made frame have in common; the same for every edition."""
        return str(told_by(self.receipts, "key") or "")

    @property
    def edition(self) -> int:
        """How often a made frame was made of other parents, from 1."""
        edition = told_by(self.receipts, "edition")
        return edition if isinstance(edition, int) else 1

    @property
    def frames(self) -> int:
        """Of how many frames it is made."""
        frames = told_by(self.receipts, "frames")
        return frames if isinstance(frames, int) else 0

    @property
    def delivered(self) -> Mapping[str, str]:
        """Its name in each archive that it was delivered to."""
        return {
            receipt.target: str(receipt.proof.get("name", ""))
            for receipt in self.receipts
            if receipt.step == DELIVER and receipt.outcome is Outcome.DONE
        }

    def is_meant(self, text: str) -> bool:
        """Whether a person who says this means it: its name, in an archive or alone, or 8 digits or more."""
        names = {self.name, *self.delivered.values()}
        if any(name == text or name.endswith(f"/{text}") for name in names):
            return True
        digits = text.lower()
        return len(digits) >= _FEWEST_DIGITS and (self.id.startswith(digits) or (self.digest or "").startswith(digits))


def told_by(receipts: Sequence[Receipt], fact: str) -> Fact:
    """Return what the step that makes a frame of many said last of a fact; None where it said nothing."""
    told = (receipt.proof.get(fact) for receipt in reversed(receipts) if receipt.step == receipts[0].step)
    return next((value for value in told if value is not None), None)


def made_account(identity: FrameId, receipts: Sequence[Receipt]) -> Account:
    """Return a frame of many as the receipts about it tell it; there is one at least."""
    name, size = told_by(receipts, "name") or told_by(receipts, "key") or "", told_by(receipts, "size")
    sighting = made_here(
        identity, receipts[0].night, StorePath(str(name)), size if isinstance(size, int) else 0, receipts[0].started_us
    )
    return Account(sighting, standing_of(sighting, receipts, expectation_of_made(receipts)), tuple(receipts))


def latest_editions(made: Iterable[Account]) -> Sequence[Account]:
    """Leave out what a later edition of the same night and key took the place of."""
    return list({(account.night, account.key): account for account in made}.values())


class Proof(NamedTuple):
    """What proves that an archive has a frame: all that an audit or the clearing of the source must compare.

    ``path``, ``size`` and ``mtime_us`` are the file's as the telescope showed it; ``digest`` is of the bytes in
    the archive, which have the name ``name`` there since ``delivered_us`` at the latest. ``proven_us`` is when a
    delivery or an audit last found them right. ``doubt`` says what an audit found since then; only an empty one lets
    anybody delete a source. ``raw`` is the digest of what was pulled: another one than ``digest`` where a product was
    delivered. ``product`` says that it is about a product of many frames, whose name is its path. ``unread`` says why
    the last audit could not read it; empty when it could. ``seen_us`` is when, by our own clock, the telescope first
    showed this state of the file.
    """

    frame: FrameId
    night: Night
    path: StorePath
    size: int
    mtime_us: int | None
    digest: Digest | None
    name: str
    delivered_us: int
    proven_us: int
    doubt: str
    cleared: bool
    raw: Digest | None = None
    product: bool = False
    unread: str = ""
    seen_us: int = 0


@dataclass(frozen=True, slots=True)
class Stamps:
    """What receipts' times say of the clock that stamped them.

    ``newest_us`` is the latest time of any. ``behind`` are the frames that were delivered while the clock was behind
    an earlier stamp, each with that stamp: they cannot have been delivered before it.
    """

    newest_us: int = 0
    behind: Mapping[FrameId, int] = field(default_factory=dict)


class Proven(NamedTuple):
    """What receipts say of an archive: the delivery to it, when it was last found right, and what doubts that.

    ``unread`` says why the last audit could not read it; empty when it could.
    """

    delivery: Receipt | None
    proven_us: int
    doubt: str
    unread: str = ""


def proven(receipts: Sequence[Receipt], archive: str) -> Proven:
    """Find out what receipts, oldest first, say of an archive."""
    delivery: Receipt | None = None
    proven_us, doubt, unread = 0, "", ""
    for receipt in receipts:
        done = receipt.outcome is Outcome.DONE
        if receipt.target != archive:
            continue
        if receipt.step == DELIVER and done:
            delivery, proven_us, doubt, unread = receipt, receipt.started_us, "", ""
        elif receipt.step == AUDIT and done:
            proven_us, doubt, unread = receipt.started_us, "", ""
        elif receipt.step == AUDIT and receipt.outcome is Outcome.FAILED:  # it saw nothing
            unread = receipt.reason or receipt.outcome.value
        elif receipt.step == AUDIT:
            doubt, unread = receipt.reason or receipt.outcome.value, ""
    return Proven(delivery, proven_us, doubt, unread)


def proof_of(account: Account, archive: str) -> Proof | None:
    """Make the proof that an archive has a frame of all its receipts; None when it was never delivered there."""
    delivery, proven_us, doubt, unread = proven(account.receipts, archive)
    if delivery is None:
        return None
    done = [receipt for receipt in account.receipts if receipt.outcome is Outcome.DONE]
    pulled = next((receipt.digest for receipt in reversed(done) if receipt.step == PULL), None)
    seen, name = account.sighting, delivery.proof.get("name")
    # a clock that was behind when the delivery was stamped does not make it older than what came before it
    before = [receipt.started_us for receipt in account.receipts[: account.receipts.index(delivery)]]
    delivered_us = max(delivery.started_us, seen.seen_us, seen.mtime_us or 0, *before)
    return Proof(
        frame=seen.id,
        night=seen.night,
        path=seen.path,
        size=seen.size,
        mtime_us=seen.mtime_us,
        digest=delivery.digest or (account.digest if account.made else pulled),
        name=name if isinstance(name, str) else "",
        delivered_us=delivered_us,
        proven_us=proven_us,
        doubt=doubt,
        cleared=any(receipt.step == CLEAR for receipt in done),
        raw=pulled,
        product=account.made,
        seen_us=seen.seen_us,
        unread=unread,
    )


class Ledger(Protocol):
    """Where sightings and receipts are kept. One process writes; several may read."""

    @property
    def outbox(self) -> Outbox:
        """Give what people are told."""
        ...

    def expect(self, telescope: str, expected: Expectation) -> None:
        """Say what the telescope's route asks for; standings that depend on it are made anew if it changed."""
        ...

    def known(self, telescope: str, evenings: Sequence[date] | None = None) -> Mapping[StorePath, Known]:
        """Return the last sighting of every path that the telescope ever showed, or showed of these nights."""
        ...

    def sight(self, sightings: Sequence[Sighting]) -> None:
        """Append sightings, in one durable transaction; one that repeats its path's last is not written again."""
        ...

    def record(self, receipts: Sequence[Receipt]) -> None:
        """Append receipts, in one durable transaction."""
        ...

    def accounts(
        self, telescope: str | None = None, evenings: Sequence[date] | None = None, bins: Sequence[Bin] | None = None
    ) -> Sequence[Account]:
        """Return the frames of telescope, nights and bins (None: any), ordered by night and path."""
        ...

    def open_work(
        self, telescope: str, evenings: Sequence[date] | None = None, *, now_us: int, retry: bool = False
    ) -> Iterator[Account]:
        """Yield the frames with work for the machine now, ordered by night, time of change and path.

        Those are the pending ones and the failed ones whose back-off has ended (``retry``: all failed ones). The
        choice is made at the first step; a frame that is no longer open when its turn comes is passed over.
        """
        ...

    def outstanding(self, telescope: str, evenings: Sequence[date] | None = None) -> tuple[int, int]:
        """Count the pending and failed frames, and their bytes."""
        ...

    def account(self, frame: FrameId) -> Account | None:
        """Return one frame, sighted or made, by its identity; None for none, or one replaced before it was pulled."""
        ...

    def accounts_of(self, frames: Sequence[FrameId]) -> Sequence[Account]:
        """Return frames by their identities, in this order; those that there are none of are left out."""
        ...

    def history(self, frame: FrameId) -> Sequence[Receipt]:
        """Return the receipts about one identity, oldest first: a frame's, or those of a product of many frames."""
        ...

    def products(self, telescope: str | None = None, evenings: Sequence[date] | None = None) -> Sequence[Account]:
        """Return the frames made of many of telescope and nights (None: any), ordered by night and time of making."""
        ...

    def find(self, text: str) -> Sequence[Account]:
        """Find frames by identity or digest (8 digits or more), path, file name, or name in an archive."""
        ...

    def proofs(
        self, telescope: str, archive: str, evenings: Sequence[date] | None = None, *, made: bool = False
    ) -> Iterator[Proof]:
        """Yield the proof of each frame that was delivered to the archive, ordered by night and path.

        With ``made`` those of frames made of many follow, which no telescope has.
        """
        ...

    def stamps(self, telescope: str) -> Stamps:
        """Return what the stamps of all receipts, in the order in which they were written, say of the clock."""
        ...

    def delivered_sample(self, archive: str, count: int) -> Sequence[StorePath]:
        """Return names under which frames were delivered to an archive: half of them the newest, half any others."""
        ...

    def delivered_names(self, archive: str) -> frozenset[StorePath]:
        """Return every name that anything was ever delivered under in an archive, whichever telescope it came from."""
        ...

    def balances(self, telescope: str | None = None, evenings: Sequence[date] | None = None) -> Sequence[Balance]:
        """Return the balance of each night, oldest first."""
        ...

    def nights(self, telescope: str) -> Sequence[Night]:
        """Return the nights of a telescope, oldest first."""
        ...

    def oldest_pulled(self, telescope: str) -> date | None:
        """Return the oldest night that it was ever tried to pull a frame of; None where it never was."""
        ...

    def greet(self, contact: Contact) -> None:
        """Write down how a telescope answered a look; times of 0 change nothing."""
        ...

    def contact(self, telescope: str) -> Contact:
        """Return how a telescope last answered, and when it was last proven to be safe elsewhere."""
        ...

    def overview(self, telescope: str, nights: int) -> Overview:
        """Return a telescope's last nights, newest first, and what is open in those before."""
        ...

    def open_nights(self, telescope: str, before: date) -> Sequence[NightLine]:
        """Return the nights before another with frames or cubes that are held or failed, newest first.

        Nobody strikes their balance: ``seen`` is the sum of the others, and ``bytes`` are not counted.
        """
        ...

    def rebuild(self, telescope: str | None = None) -> None:
        """Make the standings anew from sightings and receipts alone."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...
