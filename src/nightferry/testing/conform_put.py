"""Conformance of `Store.put` and `Store.remove`."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nightferry.core.errors import Gone, Held, NightferryError, Occupied
from nightferry.core.store import Load, Store, StorePath
from nightferry.testing.conform_fetch import BIG, HOSTILE_PATHS
from nightferry.testing.conform_stage import (
    MIDDLE,
    Limit,
    StoreStage,
    carry,
    entries_of,
    generated,
    put_all,
    store_path,
    want_for,
    write,
)
from nightferry.testing.conform_suite import Suite, barred_by, each, raises


class PutConformance(Suite):
    """What holds for every put and remove."""

    @each("size", 0, 1, MIDDLE, BIG)
    def test_put_stores_the_whole_file(self, stage: StoreStage, store: Store, tmp_path: Path, size: int) -> None:
        """Under its name, with its bytes, and nothing else beside it; the local file stays as it is."""
        source = write(tmp_path / "source", generated(size))
        assert put_all(store, [Load(source, StorePath("a.fits"))]) == [None]
        assert stage.content(b"a.fits") == generated(size)
        assert stage.everything() == {b"a.fits"}
        assert source.read_bytes() == generated(size)

    def test_pace_is_told_of_each_byte_once(self, stage: StoreStage, store: Store, tmp_path: Path) -> None:
        """Or of none, by a store that cannot tell; those are paced between files."""
        told: list[int] = []
        source = write(tmp_path / "source", generated(BIG))
        assert put_all(store, [Load(source, StorePath("a.fits"), told.append)]) == [None]
        assert sum(told) in {0, BIG}
        assert stage.content(b"a.fits") == generated(BIG)

    def test_file_under_way_is_not_swept_by_another_put(self, stage: StoreStage, store: Store, tmp_path: Path) -> None:
        """A put that finds another's unfinished file takes it for no leftover, in the same folder and store."""
        other = Load(write(tmp_path / "other", generated(1000)), StorePath("night/b.fits"))
        answers: list[NightferryError | None] = []

        def meanwhile(_: int) -> None:
            if not answers and store.traits.connections > 1:
                answers.extend(put_all(store, [other]))

        load = Load(write(tmp_path / "source", generated(BIG)), StorePath("night/a.fits"), meanwhile)
        assert put_all(store, [load]) == [None]
        assert answers in ([], [None])
        assert stage.content(b"night/a.fits") == generated(BIG)

    def test_put_makes_the_folders_it_needs(self, stage: StoreStage, store: Store, tmp_path: Path) -> None:
        """New ones, nested ones, ones that are there, and the same new one twice in a batch."""
        stage.plant(b"old/there.fits", b"x")
        targets = [b"old/a.fits", b"new/a.fits", b"new/b.fits", b"new/er/and/deeper/a.fits", b"top.fits"]
        loads = [Load(write(tmp_path / f"{n}", generated(n)), store_path(path)) for n, path in enumerate(targets)]
        assert put_all(store, loads) == [None] * len(targets)
        assert {path: stage.content(path) for path in targets} == {p: generated(n) for n, p in enumerate(targets)}
        assert stage.everything() == {b"old/there.fits", *targets}

    def test_put_stores_under_any_name(self, stage: StoreStage, store: Store, tmp_path: Path, awkward: bytes) -> None:
        """The name comes to lie there byte for byte, as file and as folder, and can be listed and fetched."""
        paths = [awkward, awkward + b".d/light.fits"]
        loads = [Load(write(tmp_path / f"{n}", generated(n + 9)), store_path(path)) for n, path in enumerate(paths)]
        assert put_all(store, loads) == [None, None]
        assert stage.everything() == frozenset(paths)
        assert set(entries_of(store)) == set(map(store_path, paths))
        assert carry(store, want_for(store, paths[1])) == generated(10)

    def test_taken_name_is_occupied_and_keeps_its_bytes(self, stage: StoreStage, store: Store, tmp_path: Path) -> None:
        """Also when the same bytes, fewer or more stand there: telling them apart is the caller's part."""
        stage.plant(b"a.fits", b"old bytes")
        stage.plant(b"sub/b.fits", b"")
        for data in (b"old bytes", b"", b"much longer than the old bytes"):
            source = write(tmp_path / "source", data)
            loads = [Load(source, StorePath("a.fits")), Load(source, StorePath("sub/b.fits"))]
            assert [type(answer) for answer in put_all(store, loads)] == [Occupied, Occupied]
        assert stage.content(b"a.fits") == b"old bytes"
        assert stage.content(b"sub/b.fits") == b""
        assert stage.everything() == {b"a.fits", b"sub/b.fits"}

    def test_folder_under_the_name_is_an_error(self, stage: StoreStage, store: Store, tmp_path: Path) -> None:
        """A folder where the file should go, and a file where a folder should be."""
        stage.plant(b"folder/a.fits", b"x")
        source = write(tmp_path / "source", b"data")
        answers = put_all(store, [Load(source, StorePath("folder")), Load(source, StorePath("folder/a.fits/b.fits"))])
        assert [isinstance(answer, NightferryError) for answer in answers] == [True, True], answers
        assert stage.everything() == {b"folder/a.fits"}

    def test_answers_come_in_order_and_one_never_costs_another(
        self, stage: StoreStage, store: Store, tmp_path: Path
    ) -> None:
        """A taken name, a local file that is not there and a name used twice stand between good ones."""
        stage.plant(b"taken.fits", b"old")
        names = ["a.fits", "taken.fits", "b.fits", "missing.fits", "a.fits", "sub/c.fits"]
        loads = [Load(write(tmp_path / f"{n}", generated(n + 100)), StorePath(name)) for n, name in enumerate(names)]
        loads[3].source.unlink()
        answers = put_all(store, loads)
        assert [answer is None for answer in answers] == [True, False, True, False, False, True]
        assert isinstance(answers[1], Occupied)
        assert isinstance(answers[3], NightferryError)
        assert not isinstance(answers[3], Occupied)
        assert isinstance(answers[4], Occupied)
        assert stage.content(b"a.fits") == generated(100)
        assert stage.content(b"taken.fits") == b"old"
        assert stage.everything() == {b"a.fits", b"taken.fits", b"b.fits", b"sub/c.fits"}

    def test_many_loads_are_all_stored(self, stage: StoreStage, store: Store, tmp_path: Path) -> None:
        """More than any group that is made durable together."""
        loads = [
            Load(write(tmp_path / f"{n}", generated(n)), StorePath(f"night{n % 3}/{n:03}.fits")) for n in range(150)
        ]
        assert put_all(store, loads) == [None] * 150
        assert len(stage.everything()) == 150
        assert all(stage.content(load.target.encode()) == generated(n) for n, load in enumerate(loads))

    def test_no_loads_get_no_answers(self, stage: StoreStage, store: Store) -> None:
        """An empty batch is no error and leaves nothing."""
        assert list(store.put([])) == []
        assert stage.everything() == frozenset()

    def test_hostile_target_is_refused_and_costs_no_other(
        self, stage: StoreStage, store: Store, tmp_path: Path
    ) -> None:
        """Whatever a name template made of a header, nothing is written outside the root."""
        source = write(tmp_path / "source", b"data")
        targets = [*HOSTILE_PATHS, "", ".", "..", "sub/", "sub//a.fits", "./a.fits"]
        answers = put_all(store, [Load(source, StorePath(target)) for target in [*targets, "good.fits"]])
        assert [answer for answer in answers[:-1] if not isinstance(answer, Held)] == []
        assert answers[-1] is None
        assert stage.everything() == {b"good.fits"}

    @barred_by(Limit.SHARED_PUT)
    def test_of_two_writers_of_one_name_exactly_one_wins(self, stage: StoreStage, store: Store, tmp_path: Path) -> None:
        """Two threads put different bytes under the same names at once."""
        assert store.traits.exclusive_put, "a store without exclusive puts declares Limit.SHARED_PUT"
        names = [StorePath(f"shared/{number}.fits") for number in range(20)]
        data = {who: generated(20_000, who) for who in ("left", "right")}
        sources = {who: write(tmp_path / who, content) for who, content in data.items()}
        with ThreadPoolExecutor(2) as pool:
            runs = {
                who: pool.submit(put_all, store, [Load(source, name) for name in names])
                for who, source in sources.items()
            }
            answers = {who: run.result() for who, run in runs.items()}
        for number, name in enumerate(names):
            winners = [who for who in data if answers[who][number] is None]
            assert len(winners) == 1, f"{name}: {[answers[who][number] for who in data]}"
            assert stage.content(name.encode()) == data[winners[0]]
            [lost] = [answers[who][number] for who in data if who not in winners]
            assert isinstance(lost, Occupied), repr(lost)
        assert len(stage.everything()) == len(names)

    def test_remove_deletes_one_file(self, stage: StoreStage, store: Store) -> None:
        """And leaves its neighbours."""
        stage.plant(b"sub/a.fits", b"x")
        stage.plant(b"sub/b.fits", b"x")
        store.remove(StorePath("sub/a.fits"))
        assert stage.everything() == {b"sub/b.fits"}

    def test_remove_deletes_a_file_of_any_name(self, stage: StoreStage, store: Store, awkward: bytes) -> None:
        """No name is a pattern, an option or a second command."""
        stage.plant(awkward, b"x")
        stage.plant(b"1.fits", b"x")
        store.remove(store_path(awkward))
        assert stage.everything() == {b"1.fits"}

    def test_remove_of_what_is_not_there_is_gone(self, stage: StoreStage, store: Store) -> None:
        """A missing file, a file in a missing folder, and a file removed before."""
        stage.plant(b"a.fits", b"x")
        store.remove(StorePath("a.fits"))
        for path in ("a.fits", "missing.fits", "no/such/folder.fits"):
            with raises(Gone):
                store.remove(StorePath(path))

    def test_remove_never_takes_a_folder_or_a_hostile_path(self, stage: StoreStage, store: Store) -> None:
        """Only files are removed, and only inside the root."""
        stage.plant(b"folder/a.fits", b"x")
        for path in ("folder", "", "../outside.fits", "/outside.fits", "folder/../folder/a.fits", "a\r\nDELE b"):
            with raises(Held):
                store.remove(StorePath(path))
        assert stage.everything() == {b"folder/a.fits"}

    def test_removed_name_can_be_put_again(self, stage: StoreStage, store: Store, tmp_path: Path) -> None:
        """Nothing remembers what stood there."""
        load = Load(write(tmp_path / "source", b"data"), StorePath("a.fits"))
        assert put_all(store, [load]) == [None]
        store.remove(load.target)
        assert put_all(store, [load]) == [None]
        assert stage.content(b"a.fits") == b"data"
