"""Conformance of `Store.fetch`."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from nightferry.core.errors import Changed, Gone, Held, TryAgain
from nightferry.core.store import BUFFER_SIZE, Store, StorePath, Want
from nightferry.testing.conform_stage import (
    MIDDLE,
    PART,
    Limit,
    StoreStage,
    accept,
    carry,
    carry_all,
    close_iterator,
    confirmed,
    drain,
    entries_of,
    generated,
    store_path,
    want_for,
)
from nightferry.testing.conform_suite import Suite, barred_by, each, raises

#: Names that would lead out of the root, or smuggle a second command into a line.
HOSTILE_PATHS = ("../outside.fits", "sub/../../outside.fits", "/outside.fits", "a\nb.fits", "a\r\nDELE a.fits", "a\0b")

#: More than any request, window or part of a store of ours, the largest of which is 32 MiB.
BIG = 40 * 1024 * 1024


class FetchConformance(Suite):
    """What holds for every fetch."""

    def test_fetched_file_has_the_bytes_that_stand_there(self, stage: StoreStage, store: Store) -> None:
        """A file of several buffers, wanted as the listing tells it."""
        stage.plant(b"night/a.fits", generated(MIDDLE))
        entry = entries_of(store)[StorePath("night/a.fits")]
        assert entry.size == MIDDLE
        assert carry(store, Want(entry.path, entry.size)) == generated(MIDDLE)
        assert carry(store, want_for(store, b"night/a.fits")) == generated(MIDDLE)

    @each("size", 0, 1, BUFFER_SIZE - 1, BUFFER_SIZE, BUFFER_SIZE + 1, BIG)
    def test_file_of_any_size_arrives_whole(self, stage: StoreStage, store: Store, size: int) -> None:
        """Empty, at the edges of a buffer, and 40 MiB."""
        stage.plant(b"a.fits", generated(size))
        assert carry(store, want_for(store, b"a.fits")) == generated(size)

    def test_file_of_any_name_arrives(self, stage: StoreStage, store: Store, awkward: bytes) -> None:
        """The listed name fetches its own file, also out of a folder of that name."""
        paths = [awkward, awkward + b".d/light.fits"]
        for path in paths:
            stage.plant(path, generated(100, ascii(path)))
        entries = entries_of(store)
        wants = [Want(entries[store_path(path)].path, entries[store_path(path)].size) for path in paths]
        assert carry_all(store, wants) == [generated(100, ascii(path)) for path in paths]

    def test_many_files_arrive_in_order(self, stage: StoreStage, store: Store) -> None:
        """One call, one connection, many small files of different sizes."""
        data = {b"many/%03d.fits" % number: generated(number * 37) for number in range(100)}
        for path, content in data.items():
            stage.plant(path, content)
        wants = [want_for(store, path) for path in data]
        assert carry_all(store, wants) == list(data.values())

    def test_no_wants_yield_no_arrivals(self, store: Store) -> None:
        """An empty batch is no error."""
        assert list(store.fetch([])) == []

    def test_missing_file_is_gone_and_costs_no_other(self, stage: StoreStage, store: Store) -> None:
        """In its place in the batch, first, middle and last; a missing folder and a folder likewise."""
        stage.plant(b"a.fits", generated(5000))
        stage.plant(b"sub/b.fits", generated(MIDDLE))
        there = [want_for(store, b"a.fits"), want_for(store, b"sub/b.fits")]
        gone = [Want(StorePath(path), 5000) for path in ("x.fits", "no/such/folder.fits", "sub")]
        answers = carry_all(store, [gone[0], there[0], gone[1], gone[2], there[1], gone[0]])
        assert [type(answer) for answer in answers] == [Gone, bytes, Gone, Gone, bytes, Gone]
        assert [answers[1], answers[4]] == [generated(5000), generated(MIDDLE)]

    def test_hostile_path_is_refused_and_costs_no_other(self, stage: StoreStage, store: Store) -> None:
        """Whatever a ledger or listing says, no path leads out of the root."""
        stage.plant(b"a.fits", generated(5000))
        for path in HOSTILE_PATHS:
            answers = carry_all(store, [Want(StorePath(path), 5000), want_for(store, b"a.fits")])
            assert isinstance(answers[0], Held), f"{path!r}: {answers[0]!r}"
            assert answers[1] == generated(5000)

    def test_arrival_may_be_given_up_at_any_point(self, stage: StoreStage, store: Store) -> None:
        """Unread, half read, read but not finished: the next one is right, and so is the next call."""
        paths = [b"%d.fits" % number for number in range(5)]
        for path in paths:
            stage.plant(path, generated(MIDDLE, ascii(path)))
        wants = [want_for(store, path) for path in paths]
        arrivals = store.fetch(wants)
        buffer = memoryview(bytearray(1000))
        next(arrivals)
        assert accept(next(arrivals)) == generated(MIDDLE, ascii(paths[1]))
        assert next(arrivals).read_into(buffer) > 0
        assert accept(next(arrivals)) == generated(MIDDLE, ascii(paths[3]))
        assert drain(next(arrivals)) == generated(MIDDLE, ascii(paths[4]))
        close_iterator(arrivals)
        assert carry_all(store, wants) == [generated(MIDDLE, ascii(path)) for path in paths]

    def test_dropped_fetches_leave_the_store_usable(self, stage: StoreStage, store: Store) -> None:
        """A batch that is left half-way gives its connection back, so more of them than connections may be."""
        stage.plant(b"a.fits", generated(MIDDLE))
        want = want_for(store, b"a.fits")
        for _ in range(store.traits.connections + 2):
            arrivals = store.fetch([want, want, want])
            next(arrivals).read_into(memoryview(bytearray(1000)))
            close_iterator(arrivals)
        assert carry(store, want) == generated(MIDDLE)

    @barred_by(Limit.RESUME)
    @each("offset", 1, BUFFER_SIZE, PART, MIDDLE - 1, MIDDLE)
    def test_resumed_fetch_yields_exactly_the_tail(self, stage: StoreStage, store: Store, offset: int) -> None:
        """From one byte on, from the last byte on, and from the very end, where nothing is left to come."""
        assert store.traits.resumes, "a store that does not resume declares Limit.RESUME in the suite's `limits`"
        stage.plant(b"a.fits", generated(MIDDLE))
        stage.plant(b"b.fits", generated(MIDDLE, "b"))
        answers = carry_all(store, [want_for(store, b"a.fits", offset), want_for(store, b"b.fits")])
        assert answers == [generated(MIDDLE)[offset:], generated(MIDDLE, "b")]

    @barred_by(Limit.RESUME)
    def test_offset_beyond_the_end_is_never_a_success(self, stage: StoreStage, store: Store) -> None:
        """The file is shorter than what we hold of it, so it changed; some servers confirm such a fetch."""
        stage.plant(b"a.fits", generated(1000))
        stage.plant(b"b.fits", generated(5000))
        for size in (3000, 1000):  # as it was seen, and as it stands there now
            beyond = Want(StorePath("a.fits"), size=size, offset=2000)
            answers = carry_all(store, [beyond, want_for(store, b"b.fits")])
            assert isinstance(answers[0], Gone | TryAgain), repr(answers[0])
            assert answers[1] == generated(5000)
            arrivals = store.fetch([beyond])
            arrival = next(arrivals)
            with raises(Gone, TryAgain):
                confirmed(arrival)
            close_iterator(arrivals)

    @each("by", -1, 1, 4000)
    def test_file_of_another_size_than_wanted_is_changed(self, stage: StoreStage, store: Store, by: int) -> None:
        """Longer or shorter: finish() says so by itself, whatever the caller counts."""
        stage.plant(b"a.fits", generated(MIDDLE))
        want = want_for(store, b"a.fits")
        arrivals = store.fetch([replace(want, size=want.size + by)])
        arrival = next(arrivals)
        with raises(Changed):
            confirmed(arrival)
        close_iterator(arrivals)
        assert carry(store, want) == generated(MIDDLE)

    @barred_by(Limit.TIMES)
    def test_file_of_another_time_than_wanted_is_changed(self, stage: StoreStage, store: Store) -> None:
        """The same size, but written again since it was seen."""
        stage.plant(b"a.fits", generated(MIDDLE))
        want = want_for(store, b"a.fits")
        assert want.mtime_us is not None, "a store that tells no times declares Limit.TIMES"
        week_us = 7 * 24 * 3600 * 1_000_000
        answers = carry_all(store, [replace(want, mtime_us=want.mtime_us - week_us), want])
        assert isinstance(answers[0], Changed), repr(answers[0])
        assert answers[1] == generated(MIDDLE)

    def test_two_threads_fetch_from_one_store(self, stage: StoreStage, store: Store) -> None:
        """Each gets its own files, while listings go on beside them."""
        data = {b"%d/%02d.fits" % (number % 2, number): generated(BUFFER_SIZE + number) for number in range(10)}
        for path, content in data.items():
            stage.plant(path, content)
        wants = [want_for(store, path) for path in data]
        with ThreadPoolExecutor(3) as pool:
            halves = [pool.submit(carry_all, store, wants[start::2]) for start in (0, 1)]
            listing = pool.submit(entries_of, store)
            answers = [half.result() for half in halves]
            assert len(listing.result()) == len(data)
        assert answers == [list(data.values())[start::2] for start in (0, 1)]
