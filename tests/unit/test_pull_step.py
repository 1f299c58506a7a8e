"""The pull step: what lands on the shelf, and what never does."""

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path

import pytest

from nightferry.core.errors import Changed, Gone, Misconfigured, NightferryError, NoSpace, Stopped, Unreachable
from nightferry.core.frame import Sighting
from nightferry.core.receipt import Outcome, Result
from nightferry.core.store import Arrival, Entry, StorePath, Traits, Want
from nightferry.disk.files import WholeFile, land
from nightferry.steps.pull import OVERLAP, RESUME_FROM, Pull
from nightferry.steps.shelf import Shelf
from nightferry.stores.memory import MemoryFile, MemoryStore
from tests.unit.conftest import THEN_US, Bench, Far, Witness, digest_of, frame_bytes, light, sighting_of

BIG = frame_bytes(9, (1200, 900))  # 2.1 MB, so that a part of it is worth resuming


def pulled(bench: Bench, *sightings: Sighting) -> list[Result]:
    return list(bench.route().pull(sightings))


def outcomes(results: Sequence[Result]) -> list[str]:
    return [str(result.outcome) for result in results]


def cut(bench: Bench, seen: Sighting, at: int) -> None:
    """Have a pull end after so many bytes because the telescope went away."""
    bench.telescope.wire.lives = at
    with pytest.raises(Unreachable):
        pulled(bench, seen)
    bench.telescope.wire.lives = None


@dataclass
class Listening(MemoryStore):
    """Tells which offsets were asked for."""

    def __init__(self, far: Far) -> None:
        super().__init__(far.disk, far.label, far.wire)
        self.offsets: list[int] = []

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        self.offsets += [want.offset for want in wants]
        return super().fetch(wants)


def test_frames_land_whole_with_what_their_bytes_said(bench: Bench) -> None:
    seen = [bench.telescope.plant(light(number), frame_bytes(number)) for number in (1, 2, 3, 4, 5)]
    results = pulled(bench, *seen)
    assert outcomes(results) == ["done"] * 5
    for number, (one, result) in enumerate(zip(seen, results, strict=True), start=1):
        frame = result.product
        assert frame is not None
        assert frame.file.read_bytes() == frame_bytes(number)
        assert frame.digest == digest_of(frame_bytes(number))
        assert (frame.id, frame.name, frame.size) == (one.id, one.path, one.size)
        assert result.proof["confirmed_size"] == one.size
        assert result.proof["kind"] == "fits"
        assert "datasum" in result.proof
    assert not list(bench.home.rglob("*.part"))


def test_a_truncated_frame_lands_with_its_problem_told(bench: Bench) -> None:
    (result,) = pulled(bench, bench.telescope.plant(light(1), frame_bytes()[:-2000]))
    assert result.outcome is Outcome.DONE
    assert "truncated" in str(result.proof["problem"])


def test_data_that_end_early_are_no_frame_whatever_the_telescope_says(bench: Bench) -> None:
    seen = bench.telescope.plant(light(1), frame_bytes())
    bench.telescope.wire.cut = 1000
    (result,) = pulled(bench, seen)
    assert result.outcome is Outcome.FAILED
    assert "said that all was sent, but 1,000 of" in result.reason
    assert not bench.shelf.file(seen).exists()


def test_a_file_that_grew_is_not_taken_and_nothing_of_it_is_built_upon(bench: Bench) -> None:
    seen = bench.telescope.plant(light(1), frame_bytes())
    bench.telescope.disk.files[light(1)] = MemoryFile(frame_bytes() + bytes(2880), THEN_US + 1)
    (result,) = pulled(bench, seen)
    assert result.outcome is Outcome.FAILED
    assert "still growing" in result.reason
    assert bench.shelf.part(seen).stat().st_size == 0


def test_a_file_rewritten_in_place_is_not_taken(bench: Bench) -> None:
    seen = bench.telescope.plant(light(1), frame_bytes(1))
    bench.telescope.plant(light(1), frame_bytes(2), THEN_US + 1)
    (result,) = pulled(bench, seen)
    assert result.outcome is Outcome.FAILED
    assert "changed" in result.reason
    assert bench.shelf.part(seen).stat().st_size == 0


def test_a_file_that_is_gone_is_held_and_costs_no_other(bench: Bench) -> None:
    gone, there = sighting_of(light(1), b"x"), bench.telescope.plant(light(2), frame_bytes())
    results = {result.source.id: result for result in pulled(bench, gone, there)}
    assert results[gone.id].outcome is Outcome.HELD
    assert results[there.id].outcome is Outcome.DONE


def test_when_the_telescope_goes_away_what_came_whole_is_kept(bench: Bench) -> None:
    seen = [bench.telescope.plant(light(number), frame_bytes(number)) for number in (1, 2, 3)]
    bench.telescope.wire.lives = 2 * seen[0].size - 100
    results: list[Result] = []
    with pytest.raises(Unreachable):
        results.extend(bench.route().pull(seen))  # what was yielded before the error stays
    assert [result.source.id for result in results] == [seen[0].id]
    assert bench.shelf.file(seen[0]).exists()
    assert bench.shelf.part(seen[1]).exists()


def test_a_big_part_is_resumed_and_what_overlaps_is_compared(bench: Bench) -> None:
    seen = bench.telescope.plant(light(1), BIG)
    cut(bench, seen, 1_500_000)
    store = Listening(bench.telescope)
    (result,) = Pull(store, bench.shelf)([seen])
    assert store.offsets == [1_500_000 - OVERLAP]
    assert result.outcome is Outcome.DONE
    assert result.proof["resumed_from"] == 1_500_000
    assert result.product is not None
    assert result.product.digest == digest_of(BIG)
    assert result.product.file.read_bytes() == BIG


def test_a_part_that_has_all_its_bytes_is_still_confirmed(bench: Bench) -> None:
    seen = bench.telescope.plant(light(1), BIG)
    cut(bench, seen, len(BIG))  # all came, but not the word that it was all
    store = Listening(bench.telescope)
    (result,) = Pull(store, bench.shelf)([seen])
    assert store.offsets == [len(BIG) - OVERLAP]
    assert (result.outcome, result.proof["resumed_from"]) == (Outcome.DONE, len(BIG))


def test_a_part_of_other_bytes_is_never_built_upon(bench: Bench) -> None:
    seen = bench.telescope.plant(light(1), BIG)
    cut(bench, seen, 1_500_000)
    other = frame_bytes(10, (1200, 900))
    bench.telescope.plant(light(1), other)  # same size, same time
    (result,) = pulled(bench, seen)
    assert result.outcome is Outcome.FAILED
    assert "not those that came before the break" in result.reason
    (result,) = pulled(bench, seen)
    assert result.outcome is Outcome.DONE
    assert bench.shelf.file(seen).read_bytes() == other


def test_a_small_part_is_started_over(bench: Bench) -> None:
    seen = bench.telescope.plant(light(1), BIG)
    cut(bench, seen, RESUME_FROM - 1)
    store = Listening(bench.telescope)
    (result,) = Pull(store, bench.shelf)([seen])
    assert store.offsets == [0]
    assert "resumed_from" not in result.proof


def test_a_part_longer_than_the_file_is_started_over(bench: Bench) -> None:
    seen = bench.telescope.plant(light(1), BIG)
    part = bench.shelf.part(seen)
    part.parent.mkdir(parents=True)
    part.write_bytes(BIG + b"more")
    (result,) = pulled(bench, seen)
    assert result.outcome is Outcome.DONE
    assert bench.shelf.file(seen).read_bytes() == BIG


def test_a_telescope_that_cannot_resume_is_asked_for_the_whole_file(bench: Bench) -> None:
    class Plain(Listening):
        @property
        def traits(self) -> Traits:
            return replace(super().traits, resumes=False)

    seen = bench.telescope.plant(light(1), BIG)
    cut(bench, seen, 1_500_000)
    store = Plain(bench.telescope)
    (result,) = Pull(store, bench.shelf)([seen])
    assert (store.offsets, result.outcome) == ([0], Outcome.DONE)


def test_the_state_of_a_file_before_it_changed_lends_its_part_to_no_other(bench: Bench) -> None:
    seen = bench.telescope.plant(light(1), BIG)
    cut(bench, seen, 1_500_000)
    other = frame_bytes(10, (1200, 900))
    changed = bench.telescope.plant(light(1), other, THEN_US + 1)
    (result,) = pulled(bench, changed)
    assert result.outcome is Outcome.DONE
    assert "resumed_from" not in result.proof
    assert bench.shelf.file(changed).read_bytes() == other


def test_stopping_leaves_the_part_and_no_answer(bench: Bench) -> None:
    seen = bench.telescope.plant(light(1), BIG)
    stop = threading.Event()

    class Stopping(Witness):
        def moved(self, path: StorePath, count: int) -> None:
            stop.set()

    with pytest.raises(Stopped):
        list(Pull(bench.telescope.store, bench.shelf, Stopping(), stop)([seen]))
    assert 0 < bench.shelf.part(seen).stat().st_size < len(BIG)
    assert not bench.shelf.file(seen).exists()


def test_a_frame_that_landed_before_a_crash_is_read_again_and_not_fetched(bench: Bench) -> None:
    seen = bench.telescope.plant(light(1), frame_bytes())
    pulled(bench, seen)
    bench.telescope.wire.lives = 0
    (result,) = pulled(bench, seen)
    assert result.outcome is Outcome.DONE
    assert result.proof["adopted"] is True
    assert result.product is not None
    assert result.product.digest == digest_of(frame_bytes())


def test_an_empty_file_is_fetched_like_any_other(bench: Bench) -> None:
    seen = bench.telescope.plant(light(1), b"")
    (result,) = pulled(bench, seen)
    assert result.outcome is Outcome.DONE
    assert "empty" in str(result.proof["problem"])
    assert bench.shelf.file(seen).read_bytes() == b""


def test_nothing_is_pulled_that_would_fill_the_disk_past_its_floor(bench: Bench) -> None:
    seen = bench.telescope.plant(light(1), frame_bytes())
    bench.floor = 1 << 60
    with pytest.raises(NoSpace, match="floor"):
        pulled(bench, seen)
    assert not list(bench.home.rglob("*.part"))


@pytest.mark.parametrize("place", ["shelf", "shelf/vespera", "shelf/vespera/2026-09-11"])
def test_a_file_where_the_shelf_needs_a_folder_is_for_the_operator(bench: Bench, place: str) -> None:
    seen = bench.telescope.plant(light(1), frame_bytes())
    path = bench.home / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("not a folder")
    with pytest.raises(Misconfigured, match="shelf"):
        pulled(bench, seen)


def test_a_disk_that_fails_while_frames_land_is_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = bench.telescope.plant(light(1), frame_bytes())

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(NightferryError, match="Input/output error"):
            pulled(bench, seen)
    assert not bench.shelf.file(seen).exists()
    (result,) = pulled(bench, seen)
    assert result.outcome is Outcome.DONE


def test_a_disk_that_takes_a_part_of_what_is_written_gets_the_rest_as_well(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = bench.telescope.plant(light(1), frame_bytes())

    class Grudging(FileIO):
        def write(self, data: bytes | memoryview, /) -> int:  # type: ignore[override] # never anything but bytes here
            return super().write(data[:1000])

    class Part(WholeFile, Grudging):
        pass

    monkeypatch.setattr("nightferry.steps.pull.WholeFile", Part)
    (result,) = pulled(bench, seen)
    assert result.product is not None
    assert result.product.file.read_bytes() == frame_bytes()


def test_many_files_are_made_durable_before_any_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def spy(_: int) -> bool:
        order.append("synced")
        return True

    def note(_part: str, _final: Path) -> None:
        order.append("named")

    monkeypatch.setattr("nightferry.disk.files.sync_file_system", spy)
    monkeypatch.setattr("os.replace", note)
    land([(FileIO(f"{place}.part", "w"), place) for place in (tmp_path / f"{number}" for number in range(5))])
    assert order == ["synced", *["named"] * 5]


def test_where_a_whole_disk_cannot_be_synced_each_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("nightferry.disk.files.sync_file_system", lambda _: False)
    monkeypatch.setattr("os.fsync", synced.append)
    files = [(FileIO(f"{place}.part", "w"), place) for place in (tmp_path / f"{number}" for number in range(5))]
    numbers = [file.fileno() for file, _ in files]
    land(files)
    assert set(synced) >= set(numbers)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "3", "4"]


def test_a_names_from_outside_never_becomes_a_path_on_the_shelf(tmp_path: Path) -> None:
    hostile = sighting_of(StorePath("../../../etc/passwd"), b"x")
    assert Shelf(tmp_path).file(hostile).parent == tmp_path / "vespera" / "2026-09-11"
    assert Shelf(tmp_path).file(hostile).name == hostile.id


@pytest.mark.parametrize("trouble", [Gone("gone"), Changed("changed")])
def test_a_frame_that_fails_does_not_cost_the_next_one_its_transfer(bench: Bench, trouble: NightferryError) -> None:
    class Picky(MemoryStore):
        def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
            for arrival in super().fetch(wants):
                broken: Arrival = _Broken(arrival.want, trouble)
                yield broken if arrival.want.path == light(1) else arrival

    seen = [bench.telescope.plant(light(number), frame_bytes(number)) for number in (1, 2)]
    results = list(Pull(Picky(bench.telescope.disk), bench.shelf)(seen))
    assert {result.source.id: str(result.outcome) for result in results} == {
        seen[0].id: "held" if isinstance(trouble, Gone) else "failed",
        seen[1].id: "done",
    }


@dataclass(frozen=True)
class _Broken:
    want: Want
    trouble: NightferryError

    def read_into(self, buffer: memoryview) -> int:
        raise self.trouble

    def finish(self) -> Entry:
        raise self.trouble


def test_a_frame_whose_sync_failed_is_pulled_anew_and_not_resumed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second sync of the same bytes would answer well, whether they are on the disk or not."""
    seen = bench.telescope.plant(light(1), BIG)
    true_sync = os.fsync

    def fail_once(_fd: int) -> None:
        monkeypatch.setattr("os.fsync", true_sync)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    bench.shelf.require_room(0)
    bench.shelf.folder(seen.night).mkdir(parents=True)
    monkeypatch.setattr("os.fsync", fail_once)
    (failed,) = pulled(bench, seen)
    assert (failed.outcome, "the shelf" in failed.reason) == (Outcome.FAILED, True)
    assert not list(bench.home.rglob("*.part"))
    (done,) = pulled(bench, seen)
    assert done.product is not None
    assert "resumed_from" not in done.proof
