"""The ledger in an SQL database."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain

from sqlalchemy import Connection, delete, insert, select, text

from nightferry.core.balance import Balance, Bin, Expectation
from nightferry.core.frame import FrameId, Sighting
from nightferry.core.ledger import Account, Known, Proof, Stamps, proof_of
from nightferry.core.night import Night
from nightferry.core.overview import Contact, NightLine, Overview
from nightferry.core.receipt import Receipt
from nightferry.core.store import StorePath
from nightferry.ledger import answers, queries
from nightferry.ledger.contacts import note_contact
from nightferry.ledger.database import Database, open_database, open_to_read
from nightferry.ledger.derive import expectations_of, pages, restate_all, restate_made, restate_open
from nightferry.ledger.outbox import SqlOutbox
from nightferry.ledger.rows import expectation_row
from nightferry.ledger.schema import expectations, standings
from nightferry.ledger.sqlite import PATIENCE
from nightferry.ledger.writing import append_receipts, append_sightings


def open_ledger(url: str, *, wait: float = PATIENCE, reading: bool = False) -> "SqlLedger":
    """Open the ledger of a URL such as ``sqlite:////var/lib/nightferry/ledger.db``, and make it if it is not there.

    One that is opened for ``reading`` is neither made nor changed: of an older version it answers as a newer one would,
    and takes no receipts. ``wait`` is how many seconds a writer waits for another process. Raises `Misconfigured` when
    no ledger can be there (a network file system, another program's database, a newer nightferry's), `Busy` when it is
    locked.
    """
    return SqlLedger(open_to_read(url, wait=wait) if reading else open_database(url, wait=wait))


@dataclass(frozen=True, slots=True)
class SqlLedger:
    """Sightings and receipts in a database; the contract is `core.ledger.Ledger`'s.

    Besides its own errors each method raises `Busy` when another process writes for too long, `NoSpace` when
    the disk is full, `TryAgain` when it fails, and `Misconfigured` when the file is damaged or not writable.
    Safe to use from several threads.
    """

    database: Database

    @property
    def outbox(self) -> SqlOutbox:
        """Give what people are told."""
        return SqlOutbox(self.database)

    def expect(self, telescope: str, expected: Expectation) -> None:
        """Say what the telescope's route asks for; standings that depend on it are made anew if it changed."""
        with self.database.reading() as connection:
            before = expectations_of(connection).get(telescope)
        if before is not None and expectation_row(telescope, before) == expectation_row(telescope, expected):
            return
        with self.database.writing() as connection:
            before = expectations_of(connection).get(telescope)
            connection.execute(delete(expectations).where(expectations.c.telescope == telescope))
            connection.execute(insert(expectations), expectation_row(telescope, expected))
            if before and (before.steps, before.archives) == (expected.steps, expected.archives):
                restate_open(connection, telescope)
            else:
                restate_all(connection, telescope)

    def known(self, telescope: str, evenings: Sequence[date] | None = None) -> dict[StorePath, Known]:
        """Return the last sighting of every path that the telescope ever showed, or showed of these nights."""
        with self.database.reading() as connection:
            return queries.known(connection, telescope, evenings)

    def sight(self, sightings: Sequence[Sighting]) -> None:
        """Append sightings, in one durable transaction; one that repeats its path's last is not written again."""
        if sightings:
            with self.database.writing() as connection:
                append_sightings(connection, sightings)

    def record(self, receipts: Sequence[Receipt]) -> None:
        """Append receipts, in one durable transaction."""
        if receipts:
            with self.database.writing() as connection:
                append_receipts(connection, receipts)

    def accounts(
        self, telescope: str | None = None, evenings: Sequence[date] | None = None, bins: Sequence[Bin] | None = None
    ) -> list[Account]:
        """Return the frames of telescope, nights and bins (None: any), ordered by night and path."""
        with self.database.reading() as connection:
            seqs = queries.places(connection, queries.chosen(telescope, evenings, bins))
            return queries.accounts_at(connection, seqs)

    def open_work(
        self, telescope: str, evenings: Sequence[date] | None = None, *, now_us: int, retry: bool = False
    ) -> Iterator[Account]:
        """Yield the frames with work for the machine now, ordered by night, time of change and path.

        The choice is made at the first step; a frame that is no longer open when its turn comes is passed over.
        No transaction stays open between two frames, so a slow reader never keeps the log from being emptied.
        """
        with self.database.reading() as connection:
            seqs = queries.open_places(connection, telescope, evenings, now_us, retry=retry)
        for account in self._stream(seqs):
            if account.standing.due(now_us, retry=retry):
                yield account

    def outstanding(self, telescope: str, evenings: Sequence[date] | None = None) -> tuple[int, int]:
        """Count the pending and failed frames, and their bytes."""
        with self.database.reading() as connection:
            return queries.outstanding(connection, telescope, evenings)

    def account(self, frame: FrameId) -> Account | None:
        """Return one frame, sighted or made, by its identity; None for none, or one replaced before it was pulled."""
        return next(iter(self.accounts_of([frame])), None)

    def accounts_of(self, frames: Sequence[FrameId]) -> list[Account]:
        """Return frames by their identities, in this order; those that there are none of are left out."""
        found: list[Account] = []
        with self.database.reading() as connection:
            for page in pages(frames):
                asked = select(standings.c.frame, standings.c.sighting).where(standings.c.frame.in_(page))
                seqs: dict[str, int | None] = {row[0]: row[1] for row in connection.execute(asked)}
                sighted = queries.accounts_at(connection, [seq for seq in seqs.values() if seq is not None])
                made = queries.made_of(connection, [frame for frame, seq in seqs.items() if seq is None])
                told = {account.id: account for account in (*sighted, *made)}
                found += [told[frame] for frame in page if frame in told]
        return found

    def history(self, frame: FrameId) -> list[Receipt]:
        """Return the receipts about one identity, oldest first: a frame's, or those of a product of many frames."""
        with self.database.reading() as connection:
            return queries.history(connection, frame)

    def products(self, telescope: str | None = None, evenings: Sequence[date] | None = None) -> list[Account]:
        """Return the frames made of many of telescope and nights (None: any), ordered by night and time of making."""
        with self.database.reading() as connection:
            return queries.products(connection, telescope, evenings)

    def find(self, text: str) -> list[Account]:
        """Find frames by identity or digest (8 digits or more), path, file name, or name in an archive.

        A path may lack its first folders. What is found by identity or digest is not looked for by name.
        """
        with self.database.reading() as connection:
            for condition in queries.finding(text):
                seqs = queries.places(connection, condition)
                if seqs:
                    return queries.accounts_at(connection, seqs)
        return []

    def proofs(
        self, telescope: str, archive: str, evenings: Sequence[date] | None = None, *, made: bool = False
    ) -> Iterator[Proof]:
        """Yield the proof of each frame that was delivered to the archive, ordered by night and path.

        With ``made`` those of frames made of many follow, which no telescope has.
        """
        with self.database.reading() as connection:
            seqs = queries.places(connection, queries.chosen(telescope, evenings))
        for account in chain(self._stream(seqs), self.products(telescope, evenings) if made else ()):
            proof = proof_of(account, archive)
            if proof is not None:
                yield proof

    def stamps(self, telescope: str) -> Stamps:
        """Return what the stamps of all receipts, in the order in which they were written, say of the clock."""
        with self.database.reading() as connection:
            return queries.stamps(connection, telescope)

    def delivered_sample(self, archive: str, count: int) -> list[StorePath]:
        """Return names under which frames were delivered to an archive: half of them the newest, half any others."""
        with self.database.reading() as connection:
            return queries.delivered_sample(connection, archive, count)

    def delivered_names(self, archive: str) -> frozenset[StorePath]:
        """Return every name that anything was ever delivered under in an archive, whichever telescope it came from."""
        with self.database.reading() as connection:
            return queries.delivered_names(connection, archive)

    def balances(self, telescope: str | None = None, evenings: Sequence[date] | None = None) -> list[Balance]:
        """Return the balance of each night, oldest first."""
        with self.database.reading() as connection:
            return answers.balances(_asking(connection), telescope, evenings)

    def nights(self, telescope: str) -> list[Night]:
        """Return the nights of a telescope, oldest first."""
        with self.database.reading() as connection:
            return queries.nights(connection, telescope)

    def oldest_pulled(self, telescope: str) -> date | None:
        """Return the oldest night that it was ever tried to pull a frame of."""
        with self.database.reading() as connection:
            return queries.oldest_pulled(connection, telescope)

    def greet(self, contact: Contact) -> None:
        """Write down how a telescope answered a look."""
        with self.database.writing() as connection:
            note_contact(connection, contact)

    def contact(self, telescope: str) -> Contact:
        """Return how a telescope last answered."""
        with self.database.reading() as connection:
            return answers.contact_of(_asking(connection), telescope)

    def overview(self, telescope: str, nights: int) -> Overview:
        """Return a telescope's last nights, and what is open in those before."""
        with self.database.reading() as connection:
            return answers.overview_of(_asking(connection), telescope, nights)

    def open_nights(self, telescope: str, before: date) -> list[NightLine]:
        """Return the nights before another with frames or cubes that are held or failed, newest first."""
        with self.database.reading() as connection:
            return answers.open_nights(_asking(connection), telescope, before)

    def rebuild(self, telescope: str | None = None) -> None:
        """Make the standings anew from sightings and receipts alone, and those of all frames made of many."""
        with self.database.writing() as connection:
            restate_all(connection, telescope)
            restate_made(connection)

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def _stream(self, seqs: Sequence[int]) -> Iterator[Account]:
        for page in pages(seqs):
            with self.database.reading() as connection:
                accounts = queries.accounts_at(connection, page)
            yield from accounts


def _asking(connection: Connection) -> answers.Ask:
    def ask(sql: str, values: answers.Values) -> Iterable[answers.Row]:
        return connection.execute(text(sql), values)

    return ask
