"""Conformance of `Store.list` and `Store.stat`."""

from nightferry.core.errors import Misconfigured
from nightferry.core.store import Entry, Store, StorePath
from nightferry.testing.conform_stage import (
    PLANTED_US,
    Limit,
    StoreStage,
    entries_of,
    generated,
    oddities_of,
    store_path,
)
from nightferry.testing.conform_suite import Suite, barred_by, raises


class ListConformance(Suite):
    """What holds for every listing."""

    def test_empty_root_lists_nothing(self, store: Store) -> None:
        """No files is a listing that worked."""
        assert list(store.list()) == []

    def test_missing_root_is_misconfigured(self, stage: StoreStage) -> None:
        """A root that is not there is never told as an empty one."""
        astray = stage.astray()
        try:
            with raises(Misconfigured):
                list(astray.list())
        finally:
            astray.close()

    def test_listing_yields_every_file_once_with_its_size(self, stage: StoreStage, store: Store) -> None:
        """Nested folders are walked, empty files are files."""
        sizes = {b"empty.fits": 0, b"one.fits": 1, b"m31/light.fits": 2880, b"m31/night/a/b/c.fits": 5761}
        for path, size in sizes.items():
            stage.plant(path, generated(size))
        found = entries_of(store)
        assert {path: entry.size for path, entry in found.items()} == {
            store_path(path): size for path, size in sizes.items()
        }

    def test_listing_shows_a_file_of_any_name(self, stage: StoreStage, store: Store, awkward: bytes) -> None:
        """The name comes back so that it means the same file, in a folder of that name, too."""
        paths = [awkward, b"folder/" + awkward, awkward + b".d/light.fits"]
        for path in paths:
            stage.plant(path, generated(len(path)))
        found = entries_of(store)
        assert {path: entry.size for path, entry in found.items()} == {store_path(path): len(path) for path in paths}
        assert [entry and entry.size for entry in store.stat(map(store_path, paths))] == [len(path) for path in paths]

    def test_names_close_to_each_other_stay_apart(self, stage: StoreStage, store: Store) -> None:
        """Files whose names differ in little are different files."""
        names = [b"a", b"a.fits", b"a.fits.fits", b"A.fit", b"a .fit", b"a_.fit", b"dir/a", b"dir.a/a"]
        for name in names:
            stage.plant(name, generated(len(name)))
        assert set(entries_of(store)) == set(map(store_path, names))

    @barred_by(Limit.TIMES)
    def test_listing_and_stat_tell_the_time_of_last_change(self, stage: StoreStage, store: Store) -> None:
        """As exactly as the entry itself claims; stat as exactly as the store can."""
        stage.plant(b"old.fits", b"old", PLANTED_US)
        listed = entries_of(store)[StorePath("old.fits")]
        [told] = store.stat([StorePath("old.fits")])
        assert told is not None
        for entry in (listed, told):
            if entry.mtime_us is not None:
                assert abs(entry.mtime_us - PLANTED_US) <= entry.resolution_us
        if store.traits.exact_times:
            assert listed == told
            assert listed.mtime_us == PLANTED_US
        assert told.resolution_us <= 60_000_000, "a stat that may be off by more than a minute is no identity"

    def test_stat_answers_in_order_and_none_for_what_is_not_there(self, stage: StoreStage, store: Store) -> None:
        """A missing file, a missing folder and a folder are all no file."""
        stage.plant(b"a.fits", b"a")
        stage.plant(b"sub/b.fits", b"bb")
        asked = ["sub/b.fits", "missing.fits", "a.fits", "no/such/folder.fits", "sub", "a.fits"]
        answers = list(store.stat(map(StorePath, asked)))
        assert [entry and (entry.path, entry.size) for entry in answers] == [
            ("sub/b.fits", 2),
            None,
            ("a.fits", 1),
            None,
            None,
            ("a.fits", 1),
        ]

    def test_stat_takes_its_paths_out_of_a_listing_that_goes_on(self, stage: StoreStage, store: Store) -> None:
        """A store with room for one call does not wait for itself."""
        for number in range(5):
            stage.plant(b"%d.fits" % number, b"x" * number)
        answers = list(store.stat(entry.path for entry in store.list() if isinstance(entry, Entry)))
        assert sorted(entry.size for entry in answers if entry is not None) == list(range(5))

    def test_stat_of_many_files_answers_each(self, stage: StoreStage, store: Store) -> None:
        """More files than any request, window or group holds."""
        paths = [b"many/%03d.fits" % number for number in range(150)]
        for number, path in enumerate(paths):
            stage.plant(path, b"x" * number)
        answers = list(store.stat(map(store_path, paths)))
        assert [entry and (entry.path, entry.size) for entry in answers] == [
            (store_path(path), number) for number, path in enumerate(paths)
        ]

    def test_a_change_is_seen_by_the_next_listing(self, stage: StoreStage, store: Store) -> None:
        """Nothing is remembered from one listing or stat to the next."""
        stage.plant(b"a.fits", b"a")
        assert entries_of(store)[StorePath("a.fits")].size == 1
        stage.plant(b"a.fits", b"aaaa")
        stage.plant(b"b.fits", b"bb")
        assert {path: entry.size for path, entry in entries_of(store).items()} == {"a.fits": 4, "b.fits": 2}
        assert [entry and entry.size for entry in store.stat([StorePath("a.fits")])] == [4]

    def test_enter_keeps_the_listing_out_of_a_folder(self, stage: StoreStage, store: Store) -> None:
        """A folder is asked about by its path, and what is in a refused one does not come."""
        for path in (b"keep/a.fits", b"keep/skip/b.fits", b"skip/c.fits", b"keep/deep/er/d.fits"):
            stage.plant(path, b"x")
        asked: list[StorePath] = []

        def enter(folder: StorePath) -> bool:
            asked.append(folder)
            return not folder.endswith("skip")

        found = {item.path for item in store.list(enter) if isinstance(item, Entry)}
        assert found == {"keep/a.fits", "keep/deep/er/d.fits"}
        assert sorted(asked) == ["keep", "keep/deep", "keep/deep/er", "keep/skip", "skip"]

    def test_giving_up_a_listing_leaves_the_store_usable(self, stage: StoreStage, store: Store) -> None:
        """A listing may be dropped after its first entry."""
        for number in range(20):
            stage.plant(b"%d/a.fits" % number, b"x")
        for _ in range(store.traits.connections + 2):
            next(iter(store.list()))
        assert len(entries_of(store)) == 20

    @barred_by(Limit.LINKS)
    def test_links_are_never_followed_and_shown_as_odd(self, stage: StoreStage, store: Store) -> None:
        """To a file, to a folder, to nowhere, out of the root and in a circle: each is one oddity."""
        stage.plant(b"true/a.fits", b"x")
        links = {
            b"file": b"true/a.fits",
            b"folder": b"true",
            b"nowhere": b"no/such/file",
            b"outside": b"/etc",
            b"true/loop": b"..",
            b"true/a -> b": b"a.fits",
        }
        for path, target in links.items():
            stage.link(path, target)
        assert set(entries_of(store)) == {"true/a.fits"}
        shown = oddities_of(store)
        assert [oddity.kind for oddity in shown] == ["link"] * len(links)
        for path in links:
            folder, _, name = path.decode().rpartition("/")
            assert [oddity for oddity in shown if oddity.folder == folder and name in oddity.text], path

    def test_a_closed_store_opens_again(self, stage: StoreStage, store: Store) -> None:
        """Closing lets go of connections, not of the store; closing twice is no error."""
        stage.plant(b"a.fits", b"x")
        assert len(entries_of(store)) == 1
        store.close()
        store.close()
        assert len(entries_of(store)) == 1
