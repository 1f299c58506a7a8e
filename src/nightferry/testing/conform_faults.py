"""Conformance of stores whose far side misbehaves: an error in time, never wrong bytes taken for whole ones."""

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from nightferry.core.errors import Changed, Held, NightferryError, NoSpace, Occupied, TryAgain
from nightferry.core.store import BUFFER_SIZE, Load, Store, StorePath, Want
from nightferry.testing.conform_stage import (
    MIDDLE,
    PART,
    Fault,
    StoreStage,
    again,
    carry,
    carry_all,
    close_iterator,
    confirmed,
    entries_of,
    generated,
    put_all,
    want_for,
    within,
    write,
)
from nightferry.testing.conform_suite import Suite, each, needs, raises

T = TypeVar("T")


class Ask(Protocol):
    """A way to have a call answered: `at_once`, or `FaultConformance.again`."""

    def __call__(self, call: Callable[[], T], /) -> T:
        """Return what the call answers."""
        ...


def at_once(call: Callable[[], T], /) -> T:
    """Return what the call answers the first time."""
    return call()


class FaultConformance(Suite):
    """What holds while the far side misbehaves, and after it.

    Every test ends by using the same store object again, which must work as if nothing had been.
    """

    def within(self, call: Callable[[], T]) -> T:
        """Give back what the call answers or raises, within the suite's patience."""
        return within(self.patience, call)

    def again(self, call: Callable[[], T], /) -> T:
        """Ask again as long as the world is at fault, as a busy machine is that keeps a hasty store waiting."""
        return again(self.patience, call)

    # -- a server that goes away -------------------------------------------------------------------------------

    @needs(Fault.DIES)
    def test_server_that_dies_in_a_file_is_tried_again(self, stage: StoreStage, store: Store) -> None:
        """The end of the data by a lost connection is no end of the file."""
        self._fetch_through(stage, store, stage.dies(after=PART), at_once)

    @needs(Fault.DIES)
    def test_server_that_dies_between_files_is_tried_again(self, stage: StoreStage, store: Store) -> None:
        """What arrived before it arrived; every file after it fails as the world's fault, not as missing."""
        paths = [b"%d.fits" % number for number in range(4)]
        for path in paths:
            stage.plant(path, generated(BUFFER_SIZE, ascii(path)))
        wants = [want_for(store, path) for path in paths]
        with stage.dies(after=BUFFER_SIZE + 1000):
            answers = self.within(lambda: carry_all(store, wants))
        for path, answer in zip(paths, answers, strict=True):
            assert isinstance(answer, TryAgain) or answer == generated(BUFFER_SIZE, ascii(path))
        assert [type(answer) for answer in answers[1:]] != [bytes] * 3
        assert carry_all(store, wants) == [generated(BUFFER_SIZE, ascii(path)) for path in paths]

    @needs(Fault.DIES)
    def test_server_that_is_away_is_never_an_empty_one(self, stage: StoreStage, store: Store) -> None:
        """Listing, stat, fetch, put and remove all say that the world is at fault, old store or new."""
        with closing(stage.store()) as fresh:
            self._away(stage, (store, fresh), stage.dies(after=0), at_once)

    @needs(Fault.DIES)
    def test_server_that_dies_in_a_put_has_no_such_file(self, stage: StoreStage, store: Store, tmp_path: Path) -> None:
        """Nothing stands under the final name, and the same load goes through later."""
        self._put_through(stage, store, tmp_path, stage.dies(after=PART))

    # -- a server that freezes ---------------------------------------------------------------------------------

    @needs(Fault.FREEZES)
    def test_server_that_freezes_in_a_file_is_tried_again(self, stage: StoreStage) -> None:
        """Silence on an open connection ends by our time-out."""
        with closing(stage.hasty()) as store:
            self._fetch_through(stage, store, stage.freezes(after=PART), self.again)

    @needs(Fault.FREEZES)
    def test_server_that_is_silent_is_never_an_empty_one(self, stage: StoreStage) -> None:
        """Listing, stat, fetch, put and remove all end by our time-out, old store or new."""
        with closing(stage.hasty()) as store, closing(stage.hasty()) as fresh:
            self._away(stage, (store, fresh), stage.freezes(after=0), self.again)

    @needs(Fault.FREEZES)
    def test_server_that_freezes_in_a_put_has_no_such_file(self, stage: StoreStage, tmp_path: Path) -> None:
        """Nothing stands under the final name, and the same load goes through later."""
        with closing(stage.hasty()) as store:
            self._put_through(stage, store, tmp_path, stage.freezes(after=PART), ask=self.again)

    # -- a server that lies ------------------------------------------------------------------------------------

    @needs(Fault.CUTS_SHORT)
    @each("after", 0, BUFFER_SIZE, PART, MIDDLE - 1)
    def test_file_cut_short_with_a_success_is_not_taken(self, stage: StoreStage, store: Store, after: int) -> None:
        """The server ends the data early and confirms; also for a fetch that goes on from there."""
        stage.plant(b"a.fits", generated(MIDDLE))
        want = want_for(store, b"a.fits")
        with stage.cuts_short(after=after), raises(TryAgain, Held):
            self.within(lambda: carry(store, want))
        assert carry(store, want) == generated(MIDDLE)

    @needs(Fault.LIES_ABOUT_SIZE)
    @each("by", -2880, -1, 1, 2880)
    def test_file_of_another_size_than_told_is_not_taken(self, stage: StoreStage, store: Store, by: int) -> None:
        """What arrives is compared with what was told, more as well as less."""
        stage.plant(b"a.fits", generated(MIDDLE))
        with stage.lies_about_size(by=by):
            wants = [entries_of(store)[StorePath("a.fits")], next(store.stat([StorePath("a.fits")]))]
            assert all(entry is not None and entry.size != MIDDLE for entry in wants), "the stage did not lie"
            for entry in wants:
                assert entry is not None
                with raises(TryAgain, Held):
                    carry(store, Want(entry.path, entry.size, entry.mtime_us))
        assert carry(store, want_for(store, b"a.fits")) == generated(MIDDLE)

    @needs(Fault.GROWS)
    def test_file_that_grows_while_it_is_fetched_is_changed(self, stage: StoreStage, store: Store) -> None:
        """Before the first byte, between two buffers, and after the last byte but before the end is confirmed."""
        buffer = memoryview(bytearray(BUFFER_SIZE))
        for moment, reads in enumerate((0, 1, 2, 100)):
            path = b"%d.fits" % moment
            stage.plant(path, generated(MIDDLE))
            want = want_for(store, path)
            arrivals = store.fetch([want])
            arrival = next(arrivals)
            for _ in range(reads):
                arrival.read_into(buffer)
            stage.grow(path, generated(30_000))
            with raises(Changed):
                confirmed(arrival)
            close_iterator(arrivals)
            assert carry(store, want_for(store, path)) == generated(MIDDLE) + generated(30_000)

    # -- a server that does not take files ---------------------------------------------------------------------

    @needs(Fault.REFUSES_WRITE)
    def test_put_that_is_refused_is_an_error_and_leaves_nothing(
        self, stage: StoreStage, store: Store, tmp_path: Path
    ) -> None:
        """A read-only folder or account is never taken for a name that is taken."""
        answer = self._put_through(stage, store, tmp_path, stage.refuses_write())
        assert not isinstance(answer, Occupied)

    @needs(Fault.REFUSES_WRITE)
    def test_remove_that_is_refused_is_an_error_and_leaves_the_file(self, stage: StoreStage, store: Store) -> None:
        """A file that is still there is never taken for one that is gone."""
        stage.plant(b"a.fits", b"x")
        with stage.refuses_write(), raises(NightferryError) as refused:
            self.within(lambda: store.remove(StorePath("a.fits")))
        assert not isinstance(refused.error, Held)
        assert stage.content(b"a.fits") == b"x"
        store.remove(StorePath("a.fits"))

    @needs(Fault.FULL)
    @each("after", 0, PART)
    def test_put_on_a_full_disk_has_no_space_and_leaves_nothing(
        self, stage: StoreStage, store: Store, tmp_path: Path, after: int
    ) -> None:
        """At the first byte or in the middle, with nothing left of what had come until then."""
        answer = self._put_through(stage, store, tmp_path, stage.full(after=after), leaves_nothing=True)
        assert isinstance(answer, NoSpace), repr(answer)

    @needs(Fault.FULL)
    def test_full_disk_never_costs_what_was_stored_before(
        self, stage: StoreStage, store: Store, tmp_path: Path
    ) -> None:
        """In one batch: None means stored, an error means not there, for each load by itself."""
        loads = [Load(write(tmp_path / f"{n}", generated(100_000, f"{n}")), StorePath(f"{n}.fits")) for n in range(20)]
        with stage.full(after=1_050_000):
            answers = self.within(lambda: put_all(store, loads))
        assert None in answers
        assert any(isinstance(answer, NoSpace) for answer in answers)
        for n, answer in enumerate(answers):
            assert stage.content(b"%d.fits" % n) == (generated(100_000, f"{n}") if answer is None else None)
        assert len(stage.everything()) == answers.count(None)

    @needs(Fault.STORES_SHORT)
    def test_put_of_which_only_a_part_was_kept_is_an_error(
        self, stage: StoreStage, store: Store, tmp_path: Path
    ) -> None:
        """A server may confirm what it did not do; what came to lie there is compared before it gets its name."""
        self._put_through(stage, store, tmp_path, stage.stores_short(after=PART))

    # -- what the tests above share ----------------------------------------------------------------------------

    def _fetch_through(self, stage: StoreStage, store: Store, fault: AbstractContextManager[None], ask: Ask) -> None:
        stage.plant(b"a.fits", generated(MIDDLE))
        stage.plant(b"b.fits", generated(1000))
        wants = ask(lambda: [want_for(store, b"a.fits"), want_for(store, b"b.fits")])
        with fault:
            answers = self.within(lambda: carry_all(store, wants))
        assert isinstance(answers[0], TryAgain), repr(answers[0])
        assert isinstance(answers[1], TryAgain) or answers[1] == generated(1000)
        assert ask(lambda: carry_all(store, wants)) == [generated(MIDDLE), generated(1000)]

    def _put_through(
        self,
        stage: StoreStage,
        store: Store,
        folder: Path,
        fault: AbstractContextManager[None],
        *,
        ask: Ask = at_once,
        leaves_nothing: bool = False,
    ) -> NightferryError:
        stage.plant(b"there/old.fits", b"x")
        load = Load(write(folder / "source", generated(MIDDLE)), StorePath("there/new/a.fits"))
        assert len(ask(lambda: entries_of(store))) == 1  # so that the store has a connection that can break
        with fault:
            [answer] = self.within(lambda: put_all(store, [load]))
            assert isinstance(answer, NightferryError)
            assert not isinstance(answer, Occupied)
            assert stage.content(b"there/new/a.fits") is None
            if leaves_nothing:
                assert stage.everything() == {b"there/old.fits"}
        assert stage.content(b"there/new/a.fits") is None
        [later] = ask(lambda: put_all(store, [load]))
        # what a hasty store asked for in vain may have been done all the same
        assert later is None or (ask != at_once and isinstance(later, Occupied)), repr(later)
        assert stage.content(b"there/new/a.fits") == generated(MIDDLE)
        assert set(ask(lambda: entries_of(store))) == {"there/old.fits", "there/new/a.fits"}
        return answer

    def _away(
        self, stage: StoreStage, stores: tuple[Store, Store], fault: AbstractContextManager[None], ask: Ask
    ) -> None:
        stage.plant(b"sub/a.fits", generated(1000))
        want = ask(lambda: want_for(stores[0], b"sub/a.fits"))
        with fault:
            for asked in stores:
                self._is_away(asked, want)
                answers = self.within(partial(put_all, asked, [Load(Path(__file__), StorePath("b.py"))]))
                assert isinstance(answers[0], TryAgain), repr(answers[0])
        assert stage.everything() == {b"sub/a.fits"}
        assert ask(lambda: carry(stores[0], want)) == generated(1000)

    def _is_away(self, asked: Store, want: Want) -> None:
        with raises(TryAgain):
            self.within(lambda: entries_of(asked))
        with raises(TryAgain):
            self.within(lambda: list(asked.stat([want.path])))
        with raises(TryAgain):
            self.within(lambda: carry(asked, want))
        with raises(TryAgain):
            self.within(lambda: asked.remove(want.path))
