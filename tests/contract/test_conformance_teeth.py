"""The conformance suite against stores that are wrong in one way each: every one must be caught."""

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from nightferry.core.errors import Changed, NightferryError, Unreachable
from nightferry.core.store import Arrival, Entry, Load, Oddity, Store, StorePath, Want
from nightferry.stores.memory import MemoryDisk, MemoryFile, MemoryStore
from nightferry.testing.conform_memory import MemoryStage
from nightferry.testing.conform_stage import Fault
from nightferry.testing.conformance import StoreConformance

#: Set when a test is over, for those stores that hang.
OVER = threading.Event()


class Altered:
    """An arrival of which single methods are replaced."""

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival
        self.come = 0

    @property
    def want(self) -> Want:
        return self.arrival.want

    def read_into(self, buffer: memoryview) -> int:
        count = self.arrival.read_into(buffer)
        self.come += count
        return count

    def finish(self) -> Entry:
        return self.arrival.finish()


class ListsTwice(MemoryStore):
    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        for item in super().list(enter):
            yield item
            yield item


class ListsNothingWhenAway(MemoryStore):
    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        try:
            yield from super().list(enter)
        except NightferryError:
            return


class EntersEverything(MemoryStore):
    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        return super().list(None)


class FollowsLinks(MemoryStore):
    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        for item in super().list(enter):
            yield Entry(StorePath(item.text), 1, 0) if isinstance(item, Oddity) else item


class StripsNames(MemoryStore):
    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        for item in super().list(enter):
            yield item._replace(path=StorePath(item.path.strip())) if isinstance(item, Entry) else item


class Remembers(MemoryStore):
    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        self.once = getattr(self, "once", None) or [*super().list(enter)]
        yield from self.once


class IgnoresOffsets(MemoryStore):
    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        for want, arrival in zip(wants, super().fetch([replace(want, offset=0) for want in wants]), strict=True):
            yield Told(arrival, want)


class Told(Altered):
    """An arrival that tells another want than the one it serves."""

    def __init__(self, arrival: Arrival, want: Want) -> None:
        super().__init__(arrival)
        self.told = want

    @property
    def want(self) -> Want:
        return self.told


class ConfirmsEverything(MemoryStore):
    class Confirmed(Altered):
        def finish(self) -> Entry:
            return Entry(self.want.path, self.want.size, self.want.mtime_us)

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        return map(self.Confirmed, super().fetch(wants))


class EndsInsteadOfFailing(MemoryStore):
    class Ended(ConfirmsEverything.Confirmed):
        def read_into(self, buffer: memoryview) -> int:
            try:
                return super().read_into(buffer)
            except Unreachable:
                buffer[:1] = b"?"  # and pads what did not come
                missing = min(self.want.size - self.want.offset - self.come, len(buffer))
                self.come += missing
                return missing

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        return map(self.Ended, super().fetch(wants))


class ConfirmsNothing(MemoryStore):
    """Ends a fetch from beyond the end with a success and no bytes, as some FTP servers do."""

    class Quiet(ConfirmsEverything.Confirmed):
        def read_into(self, buffer: memoryview) -> int:
            try:
                return super().read_into(buffer)
            except Changed:
                return 0

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        return map(self.Quiet, super().fetch(wants))


class HangsInsteadOfFailing(MemoryStore):
    class Hung(Altered):
        def read_into(self, buffer: memoryview) -> int:
            try:
                return super().read_into(buffer)
            except Unreachable:
                OVER.wait(60)
                raise

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        return map(self.Hung, super().fetch(wants))


class GivesUpAtTheFirstMissing(MemoryStore):
    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        for arrival in super().fetch(wants):
            yield arrival
            if arrival.want.path not in self.disk.files:
                raise Unreachable("one is missing, so all are")


class Overwrites(MemoryStore):
    def put(self, loads: Sequence[Load]) -> Iterator[NightferryError | None]:
        for load in loads:
            self.disk.files[load.target] = MemoryFile(load.source.read_bytes(), 0)
            yield None


class LeavesParts(MemoryStore):
    def put(self, loads: Sequence[Load]) -> Iterator[NightferryError | None]:
        for load, answer in zip(loads, super().put(loads), strict=True):
            self.disk.files[StorePath(f"{load.target}.tmp")] = MemoryFile(b"", 0)
            yield answer if isinstance(answer, NightferryError) else None


class WritesInPlace(MemoryStore):
    def put(self, loads: Sequence[Load]) -> Iterator[NightferryError | None]:
        for load in loads:
            data = load.source.read_bytes()
            try:
                kept = self._wire.keep(0, len(data))
            except NightferryError as err:
                self.disk.files[load.target] = MemoryFile(data[:1000], 0)
                yield err
            else:
                self.disk.files[load.target] = MemoryFile(data[:kept], 0)
                yield None


class RemovesWhatIsNotThere(MemoryStore):
    def remove(self, path: StorePath) -> None:
        self.disk.files.pop(path, None)


#: Each wrong store with the test that must notice; the parameters of tests that have them.
CAUGHT: tuple[tuple[type[MemoryStore], str, dict[str, object]], ...] = (
    (ListsTwice, "test_listing_yields_every_file_once_with_its_size", {}),
    (ListsNothingWhenAway, "test_missing_root_is_misconfigured", {}),
    (ListsNothingWhenAway, "test_server_that_is_away_is_never_an_empty_one", {}),
    (ListsNothingWhenAway, "test_server_that_is_silent_is_never_an_empty_one", {}),
    (EntersEverything, "test_enter_keeps_the_listing_out_of_a_folder", {}),
    (FollowsLinks, "test_links_are_never_followed_and_shown_as_odd", {}),
    (StripsNames, "test_listing_shows_a_file_of_any_name", {"awkward": b" leading blank.fits"}),
    (Remembers, "test_a_change_is_seen_by_the_next_listing", {}),
    (IgnoresOffsets, "test_resumed_fetch_yields_exactly_the_tail", {"offset": 1}),
    (ConfirmsNothing, "test_offset_beyond_the_end_is_never_a_success", {}),
    (ConfirmsEverything, "test_file_of_another_size_than_wanted_is_changed", {"by": 1}),
    (ConfirmsEverything, "test_file_of_another_time_than_wanted_is_changed", {}),
    (ConfirmsEverything, "test_file_that_grows_while_it_is_fetched_is_changed", {}),
    (EndsInsteadOfFailing, "test_server_that_dies_in_a_file_is_tried_again", {}),
    (EndsInsteadOfFailing, "test_server_that_dies_between_files_is_tried_again", {}),
    (HangsInsteadOfFailing, "test_server_that_freezes_in_a_file_is_tried_again", {}),
    (GivesUpAtTheFirstMissing, "test_missing_file_is_gone_and_costs_no_other", {}),
    (Overwrites, "test_taken_name_is_occupied_and_keeps_its_bytes", {}),
    (Overwrites, "test_of_two_writers_of_one_name_exactly_one_wins", {}),
    (Overwrites, "test_hostile_target_is_refused_and_costs_no_other", {}),
    (Overwrites, "test_put_that_is_refused_is_an_error_and_leaves_nothing", {}),
    (LeavesParts, "test_put_stores_the_whole_file", {"size": 1}),
    (LeavesParts, "test_put_on_a_full_disk_has_no_space_and_leaves_nothing", {"after": 0}),
    (WritesInPlace, "test_server_that_dies_in_a_put_has_no_such_file", {}),
    (WritesInPlace, "test_full_disk_never_costs_what_was_stored_before", {}),
    (WritesInPlace, "test_put_of_which_only_a_part_was_kept_is_an_error", {}),
    (RemovesWhatIsNotThere, "test_remove_of_what_is_not_there_is_gone", {}),
    (RemovesWhatIsNotThere, "test_remove_never_takes_a_folder_or_a_hostile_path", {}),
    (RemovesWhatIsNotThere, "test_remove_that_is_refused_is_an_error_and_leaves_the_file", {}),
)


class Impatient(StoreConformance):
    """The suite, but with less patience. Not collected by itself: its name does not start as tests do."""

    faults = frozenset(Fault)
    patience = 5.0


def run(kind: type[MemoryStore], name: str, given: dict[str, object], folder: Path) -> None:
    """Run one test of the suite against one kind of store."""

    class Stage(MemoryStage):
        def store(self) -> Store:
            return kind(self.disk, wire=self.wire)

        def astray(self) -> Store:
            return kind(MemoryDisk(present=False), wire=self.wire)

    stage = Stage()
    test = getattr(Impatient(), name)
    offered = {"stage": stage, "store": stage.store(), "tmp_path": folder, **given}
    test(**{asked: offered[asked] for asked in inspect.signature(test).parameters})


@pytest.mark.parametrize(("kind", "name", "given"), CAUGHT, ids=lambda part: getattr(part, "__name__", str(part)))
def test_the_suite_catches(kind: type[MemoryStore], name: str, given: dict[str, object], tmp_path: Path) -> None:
    run(MemoryStore, name, given, tmp_path)  # the right store passes
    OVER.clear()
    try:
        with pytest.raises((AssertionError, NightferryError, KeyError)):
            run(kind, name, given, tmp_path)
    finally:
        OVER.set()


def test_tests_for_faults_that_are_not_offered_are_not_made() -> None:
    class Modest(StoreConformance):
        faults: ClassVar = frozenset({Fault.DIES})

    class Bolder(Modest):
        faults: ClassVar = frozenset({Fault.DIES, Fault.FREEZES})

    assert Modest.__dict__["test_server_that_freezes_in_a_file_is_tried_again"] is None
    assert callable(Modest.__dict__["test_server_that_dies_in_a_file_is_tried_again"])
    assert callable(Bolder.__dict__["test_server_that_freezes_in_a_file_is_tried_again"])
    assert Modest.left_out - Bolder.left_out == {
        name for name in Modest.left_out if "freezes" in name or "silent" in name
    }
