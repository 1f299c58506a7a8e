"""A ledger against a model of it: any order of sightings, receipts, releases and new expectations."""

import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from datetime import date
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nightferry.core.balance import Bin, Expectation, Standing, standing_of
from nightferry.core.frame import Fact, FrameId, Sighting
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.store import StorePath
from nightferry.ledger.sql import open_ledger

EVENINGS = [date(2026, 9, 12), date(2026, 9, 13)]
TELESCOPES = ["callisto", "vespera"]
STEPS, ARCHIVES = ["pull", "verify", "solve"], ["eso", "backup"]
NOW_US = 10**9

SIGHTINGS = st.builds(
    Sighting,
    night=st.builds(Night, st.sampled_from(TELESCOPES), st.sampled_from(EVENINGS)),
    path=st.sampled_from(["a.fits", "b.fits", "caf\udce9\\.fits"]).map(StorePath),
    size=st.integers(1, 3),
    mtime_us=st.sampled_from([None, 7]),
    seen_us=st.integers(1, 10**6),
    ignored=st.sampled_from(["", "", "", "a rule"]),
    refused=st.sampled_from(["", "", "", "", "a bad name"]),
)
EXPECTATIONS = st.builds(
    Expectation,
    steps=st.sampled_from([("pull",), ("pull", "verify"), ("pull", "verify", "solve")]),
    archives=st.sampled_from([("eso",), ("eso", "backup"), ("backup",)]),
    versions=st.fixed_dictionaries(dict.fromkeys([*STEPS, "deliver"], st.sampled_from("12"))),
)
STAGES = [*((step, "") for step in STEPS), *(("deliver", archive) for archive in ARCHIVES)]


class LedgerMachine(RuleBasedStateMachine):
    """Does to a ledger what a conductor and its people may do, and keeps a plain account of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="nightferry-")
        self.path = Path(self.folder.name) / "ledger.db"
        self.ledger = open_ledger(f"sqlite:///{self.path}")
        self.sighted: list[Sighting] = []
        self.told: list[Receipt] = []
        self.expected: dict[str, Expectation] = {}
        self.written: dict[str, list[tuple[object, ...]]] = {"sightings": [], "receipts": []}
        self.delivered: set[FrameId] = set()

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    @rule(batch=st.lists(SIGHTINGS, max_size=6))
    def sight(self, batch: list[Sighting]) -> None:
        self.ledger.sight(batch)
        for one in batch:
            last = self.last_of_paths().get((one.night.telescope, one.path))
            earlier = last is not None and one.seen_us < last.seen_us  # the last was stamped by a clock that was ahead
            if last is None or earlier or self.saying(last) != self.saying(one):
                self.sighted.append(one)

    @rule(data=st.data(), count=st.integers(1, 8))
    def record(self, data: st.DataObject, count: int) -> None:
        if self.sighted:
            self.tell([self.any_receipt(data) for _ in range(count)])

    @rule(data=st.data())
    def carry(self, data: st.DataObject) -> None:
        """Take one frame through its whole route, which chance alone seldom does."""
        if self.sighted:
            seen = data.draw(st.sampled_from(self.sighted))
            stages = STAGES[: data.draw(st.integers(1, len(STAGES)))]
            self.tell([self.receipt(seen, step, target, Outcome.DONE) for step, target in stages])

    @rule(data=st.data(), drop=st.booleans())
    def release(self, data: st.DataObject, drop: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        if self.sighted:
            seen = data.draw(st.sampled_from(self.sighted))
            self.tell([self.receipt(seen, "release", "", Outcome.DONE, {"drop": True} if drop else {})])

    @rule(telescope=st.sampled_from(TELESCOPES), expected=EXPECTATIONS)
    def expect(self, telescope: str, expected: Expectation) -> None:
        self.ledger.expect(telescope, expected)
        before = self.expected.get(telescope)
        self.expected[telescope] = expected
        if before is None or set(expected.archives) - set(before.archives):
            # a new archive is the one thing that may open a delivered frame again
            self.delivered -= {one.id for one in self.sighted if one.night.telescope == telescope}

    @rule()
    def open_again(self) -> None:
        self.ledger.close()
        self.ledger = open_ledger(f"sqlite:///{self.path}")

    @invariant()
    def frames_and_standings_are_the_models(self) -> None:
        told = {account.sighting.id: (account.sighting, account.standing) for account in self.ledger.accounts()}
        model = self.model()
        assert told == model
        for account in self.ledger.accounts():
            assert account.receipts == tuple(one for one in self.told if one.frame == account.sighting.id)

    @invariant()
    def every_path_is_known_by_its_last_sighting(self) -> None:
        model = self.model()
        for telescope in TELESCOPES:
            lasts = {path: one for (name, path), one in self.last_of_paths().items() if name == telescope}
            assert {
                path: (known.id, known.evening, known.size, known.mtime_us, known.seen_us, known.bin, known.rule)
                for path, known in self.ledger.known(telescope).items()
            } == {
                path: (one.id, one.night.date, one.size, one.mtime_us, one.seen_us, model[one.id][1].bin,
                       one.refused or one.ignored)
                for path, one in lasts.items()
            }  # fmt: skip

    @invariant()
    def every_night_balances_and_is_closed_when_nothing_is_open(self) -> None:
        bins = Counter((seen.night, standing.bin) for seen, standing in self.model().values())
        balances = self.ledger.balances()
        assert {balance.night for balance in balances} == {night for night, _ in bins}
        for balance in balances:
            of_night = {one: bins[balance.night, one] for one in Bin}
            assert balance.balanced
            assert balance.seen == sum(of_night.values())
            assert {one: getattr(balance, one.value) for one in Bin} == of_night
            assert balance.closed == (not of_night[Bin.PENDING] and not of_night[Bin.FAILED])

    @invariant()
    def open_work_is_what_is_due(self) -> None:
        for telescope in TELESCOPES:
            of_telescope = {
                frame: standing for frame, (seen, standing) in self.model().items() if seen.night.telescope == telescope
            }
            for retry in (False, True):
                work = {account.sighting.id for account in self.ledger.open_work(telescope, now_us=NOW_US, retry=retry)}
                assert work == {frame for frame, standing in of_telescope.items() if standing.due(NOW_US, retry=retry)}

    @invariant()
    def delivered_frames_stay_delivered(self) -> None:
        """Check it of those that were pulled, as every frame is that a conductor delivers."""
        pulled = self.pulled()
        now = {frame for frame, (_, standing) in self.model().items() if standing.bin is Bin.DELIVERED} & pulled
        assert self.delivered <= now
        self.delivered = now

    @invariant()
    def standings_are_those_that_a_rebuild_makes(self) -> None:
        before = self.rows("standings")
        self.ledger.rebuild()
        assert self.rows("standings") == before

    @invariant()
    def what_was_written_stays_as_it_is(self) -> None:
        for table, before in self.written.items():
            now = self.rows(table)
            assert now[: len(before)] == before
            self.written[table] = now
        assert len(self.written["sightings"]) == len(self.sighted)
        assert len(self.written["receipts"]) == len(self.told)

    def rows(self, table: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.path)) as raw:
            return raw.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()  # noqa: S608 - a table of ours

    def tell(self, receipts: list[Receipt]) -> None:
        self.ledger.record(receipts)
        self.told += receipts

    def any_receipt(self, data: st.DataObject) -> Receipt:
        seen = data.draw(st.sampled_from(self.sighted))
        step, target = data.draw(st.sampled_from(STAGES))
        return self.receipt(
            seen,
            step,
            target,
            data.draw(st.sampled_from(Outcome)),
            version=data.draw(st.sampled_from("12")),
            started_us=data.draw(st.sampled_from([0, NOW_US])),
        )

    @staticmethod
    def receipt(
        seen: Sighting,
        step: str,
        target: str,
        outcome: Outcome,
        proof: dict[str, Fact] | None = None,
        *,
        version: str = "1",
        started_us: int = 0,
    ) -> Receipt:
        return Receipt(
            seen.id, seen.night, step, version, outcome, "why", target, None, proof or {}, started_us=started_us
        )

    def last_of_paths(self) -> dict[tuple[str, StorePath], Sighting]:
        return {(one.night.telescope, one.path): one for one in self.sighted}

    def pulled(self) -> set[FrameId]:
        return {one.frame for one in self.told if one.step == "pull" and one.outcome is Outcome.DONE}

    @staticmethod
    def saying(seen: Sighting) -> tuple[object, ...]:
        return seen.id, seen.night, seen.ignored, seen.refused

    def model(self) -> dict[FrameId, tuple[Sighting, Standing]]:
        """Work out the frames that count and where they stand, the plain and slow way."""
        newest = {one.id: one for one in self.sighted}
        lasts = {one.id for one in self.last_of_paths().values()}
        pulled = self.pulled()
        standings = {}
        for frame, seen in newest.items():
            if frame in lasts | pulled:
                receipts = [one for one in self.told if one.frame == frame]
                expected = self.expected.get(seen.night.telescope, Expectation((), ()))
                standings[frame] = (seen, standing_of(seen, receipts, expected))
        return standings


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
