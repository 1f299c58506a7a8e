"""Clearing: what is deleted at the source, and above all what is not."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import pytest

from nightferry.core.errors import Gone, Misconfigured, TryAgain, Unreachable
from nightferry.core.receipt import Outcome
from nightferry.core.store import Arrival, Entry, Load, PutAnswer, Store, StorePath, Want
from nightferry.passes.clear import clear
from nightferry.steps.clear import Clearance
from nightferry.stores.memory import MemoryFile, MemoryStore
from tests.unit.conftest import THEN_US, Bench, Far, frame_bytes, light, name_of


@pytest.fixture
def carried(bench: Bench) -> Bench:
    """Two frames in the library, and nothing said of clearing yet."""
    for number in (1, 2):
        bench.telescope.plant(light(number), frame_bytes(number))
    bench.carry()
    bench.clear_after = 0.0
    return bench


def cleared(
    bench: Bench, source: Store | None = None, archives: Mapping[str, Store] | None = None, *, dry_run: bool = False
) -> dict[str, Clearance]:
    """Clear, and tell what became of each path."""
    route = bench.route(source, archives)
    answers = clear(route, bench.ledger, None, onlooker=bench.witness, dry_run=dry_run)
    found: dict[str, Clearance] = {answer.candidate.path: answer for answer in answers}
    assert len(found) == len(answers), "each frame is answered for once"
    return found


def states(answers: dict[str, Clearance]) -> dict[str, str]:
    return {path: str(answer.outcome) if answer.outcome else answer.reason for path, answer in answers.items()}


def test_what_is_proven_delivered_is_deleted_with_a_receipt_for_each(carried: Bench) -> None:
    answers = cleared(carried)
    assert states(answers) == {light(1): "done", light(2): "done"}
    assert carried.telescope.content() == {}
    receipt = carried.account(light(1)).receipts[-1]
    assert (receipt.step, receipt.outcome) == ("clear", Outcome.DONE)
    assert receipt.proof["read back from library"] == carried.account(light(1)).receipts[0].digest
    assert receipt.proof["size"] == len(frame_bytes(1))
    assert set(carried.bins().values()) == {"delivered"}
    assert cleared(carried) == {}, "what is cleared is not asked about again"


def test_without_the_configurations_word_nothing_is_deleted(carried: Bench) -> None:
    carried.clear_after = None
    assert cleared(carried) == {}
    carried.carry()
    assert len(carried.telescope.content()) == 2


def test_a_run_clears_when_the_configuration_says_so(carried: Bench) -> None:
    assert carried.carry().cleared == 2
    assert carried.telescope.content() == {}
    assert carried.carry().balances[0].delivered == 2, "a cleared frame is not a lost one"


def test_a_dry_run_deletes_nothing_and_writes_nothing(carried: Bench) -> None:
    before = carried.told(light(1))
    assert states(cleared(carried, dry_run=True)) == {light(1): "", light(2): ""}
    assert len(carried.telescope.content()) == 2
    assert carried.told(light(1)) == before


def test_the_grace_period_is_waited_for(carried: Bench) -> None:
    carried.clear_after = 3600.0
    (reason, other) = states(cleared(carried)).values()
    assert reason == other
    assert "the grace period lasts" in reason
    assert "min more" in reason
    assert len(carried.telescope.content()) == 2


@pytest.mark.parametrize(
    ("seconds", "words"), [(40.0, "s more"), (600.0, "min more"), (10_000.0, "h more"), (1e6, "d more")]
)
def test_the_rest_of_the_grace_period_is_told_in_a_fitting_unit(carried: Bench, seconds: float, words: str) -> None:
    carried.clear_after = seconds
    assert words in next(iter(states(cleared(carried)).values()))


def test_a_file_that_changed_at_the_source_stays(carried: Bench) -> None:
    carried.telescope.plant(light(1), frame_bytes(1), THEN_US + 1_000_000)
    answers = states(cleared(carried))
    assert answers == {light(1): "the file at the source is another one now", light(2): "done"}
    assert list(carried.telescope.content()) == [light(1)]


def test_a_file_of_another_size_stays(carried: Bench) -> None:
    carried.telescope.plant(light(1), frame_bytes(1) + bytes(2880))
    assert states(cleared(carried))[light(1)] == "the file at the source is another one now"


def test_a_frame_whose_copy_is_missing_stays_and_is_doubted_from_then_on(carried: Bench) -> None:
    del carried.library.disk.files[name_of(1)]
    answers = cleared(carried)
    assert answers[light(1)].outcome is Outcome.HELD
    assert "could not be read back" in answers[light(1)].reason
    assert list(carried.telescope.content()) == [light(1)]
    assert carried.bins() == {light(1): "held", light(2): "delivered"}
    receipt = carried.account(light(1)).receipts[-1]
    assert (receipt.step, receipt.target, receipt.outcome) == ("audit", "library", Outcome.HELD)
    again = cleared(carried)
    assert "doubtful in library" in again[light(1)].reason


def test_a_frame_whose_copy_has_other_bytes_stays(carried: Bench) -> None:
    data = bytearray(frame_bytes(1))
    data[3000] ^= 1
    carried.library.disk.files[name_of(1)] = MemoryFile(bytes(data), THEN_US)
    answers = cleared(carried)
    assert answers[light(1)].outcome is Outcome.HELD
    assert "the source may be the last good copy" in answers[light(1)].reason
    assert list(carried.telescope.content()) == [light(1)]
    assert carried.bins()[light(1)] == "held"


def test_a_frame_must_be_in_every_archive(carried: Bench) -> None:
    vault = Far("memory:vault")
    archives = {"library": carried.library.store, "vault": vault.store}
    answers = cleared(carried, archives=archives)
    assert set(states(answers).values()) == {"not delivered to vault"}
    assert len(carried.telescope.content()) == 2
    carried.clear_after = None
    carried.carry(route=carried.route(archives=archives))
    carried.clear_after = 0.0
    assert set(states(cleared(carried, archives=archives)).values()) == {"done"}


def test_frames_that_are_not_delivered_are_answered_for(carried: Bench) -> None:
    carried.clear_after = None
    carried.telescope.plant(light(3), b"not FITS")
    carried.carry()
    carried.clear_after = 0.0
    answers = states(cleared(carried))
    assert answers[light(3)].startswith("held: not FITS")
    assert list(carried.telescope.content()) == [light(3)]


def test_a_file_that_somebody_else_deleted_is_not_called_cleared(carried: Bench) -> None:
    del carried.telescope.disk.files[light(1)]
    answers = cleared(carried)
    assert states(answers)[light(2)] == "done"
    assert "no longer at the source" in answers[light(1)].reason
    assert ("clear", "done") not in carried.told(light(1))


def test_a_source_that_is_away_clears_nothing(carried: Bench) -> None:
    carried.telescope.disk.files.clear()
    assert {answer.outcome for answer in cleared(carried).values()} == {None}
    assert not [step for number in (1, 2) for step, _ in carried.told(light(number)) if step == "clear"]


class Mirror(MemoryStore):
    """An archive that is the telescope's own place, whatever it is called: what it keeps stands there, too."""

    def __init__(self, far: Far, telescope: Far, *, shows: bool) -> None:
        super().__init__(far.disk, far.label)
        self._telescope, self._shows = telescope, shows

    def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
        """Store, and have the telescope show it."""
        for load, answer in zip(loads, super().put(loads), strict=True):
            if self._shows:
                self._telescope.disk.files[StorePath(f"sub/{load.target}")] = self.disk.files[load.target]
            yield answer

    def remove(self, path: StorePath) -> None:
        """Delete on both sides."""
        super().remove(path)
        self._telescope.disk.files.pop(StorePath(f"sub/{path}"), None)


def test_an_archive_that_is_the_source_by_another_road_lets_nothing_be_deleted(carried: Bench) -> None:
    mirror = Mirror(carried.library, carried.telescope, shows=True)
    answers = cleared(carried, archives={"library": mirror})
    assert {answer.outcome for answer in answers.values()} == {Outcome.FAILED}
    assert "by another road" in answers[light(1)].reason
    assert set(carried.telescope.content()) == {light(1), light(2)}, "neither frame nor probe is missing or left"
    assert not [path for path in carried.library.content() if "probe" in path]


def test_an_archive_on_the_telescopes_own_disk_lets_nothing_be_deleted(bench: Bench) -> None:
    bench.library.disk = bench.telescope.disk
    bench.telescope.plant(light(1), frame_bytes(1))
    bench.carry()
    bench.clear_after = 0.0
    answers = cleared(bench)
    assert answers[light(1)].outcome is Outcome.FAILED
    assert light(1) in bench.telescope.content()


def test_an_archive_that_takes_no_probe_lets_nothing_be_deleted(carried: Bench) -> None:
    carried.library.wire.space = 0
    answers = cleared(carried)
    assert {answer.outcome for answer in answers.values()} == {Outcome.FAILED}
    assert "takes no probe" in answers[light(1)].reason
    assert len(carried.telescope.content()) == 2


def test_after_the_first_deletion_the_archives_are_looked_at_again(carried: Bench) -> None:
    copies = {light(number): name_of(number) for number in (1, 2)}

    class Bound(MemoryStore):
        """The telescope's store, whose deletions reach the archive's copies, too."""

        def remove(self, path: StorePath) -> None:
            super().remove(path)
            del carried.library.disk.files[copies[path]]

    source = Bound(carried.telescope.disk, "memory:telescope")
    with pytest.raises(Misconfigured, match=r"one place, so nothing more is deleted.*restore"):
        cleared(carried, source)
    assert len(carried.telescope.content()) == 1
    deletions = [one for number in (1, 2) for one in carried.told(light(number)) if one[0] == "clear"]
    assert deletions == [("clear", "done")]


class Coarse(MemoryStore):
    """A telescope whose listings and answers tell minutes only."""

    def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
        """Tell times to the minute."""
        for entry in super().stat(paths):
            yield None if entry is None else Entry(entry.path, entry.size, THEN_US, 60_000_000)


@pytest.mark.parametrize("coarse", [True, False])
def test_a_time_that_proves_nothing_has_the_bytes_compared(carried: Bench, *, coarse: bool) -> None:
    """A file of the same name, size and time: written within the minute, or by a clock that begins anew each time."""
    carried.telescope.disk.files[light(1)] = MemoryFile(frame_bytes(7), THEN_US)
    store = (Coarse if coarse else MemoryStore)(carried.telescope.disk, "memory:telescope")
    answers = cleared(carried, store)
    assert answers[light(1)].reason == "the file at the source is another one now"
    assert states(answers)[light(2)] == "done"
    assert carried.telescope.content() == {light(1): frame_bytes(7)}


def test_a_time_that_was_fresh_when_we_saw_it_needs_no_second_reading(bench: Bench) -> None:
    now = time.time_ns() // 1000
    bench.telescope.plant(light(1), frame_bytes(1), now)
    bench.carry()
    bench.clear_after = 0.0
    bench.telescope.wire.cut = 0  # nothing more can be read there
    assert states(cleared(bench)) == {light(1): "done"}


def test_a_delivery_that_a_wrong_clock_stamped_waits_out_its_grace(
    carried: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames are delivered while the clock says 2020; then it is set right."""
    carried.telescope.plant(light(3), frame_bytes(3), time.time_ns() // 1000)
    in_2020 = 1_577_836_800_000_000
    for place in ("scan", "receipts", "carry", "run", "item"):
        monkeypatch.setattr(f"nightferry.passes.{place}.now_us", lambda: in_2020, raising=False)
    carried.clear_after = None
    carried.carry()
    monkeypatch.undo()
    assert ("deliver", "done") in carried.told(light(3))
    carried.clear_after = 30 * 86400.0
    assert "grace period lasts" in cleared(carried)[light(3)].reason
    assert light(3) in carried.telescope.content()


def test_a_clock_behind_the_ledgers_newest_stamp_lets_nothing_be_deleted(
    carried: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightferry.passes.clear.now_us", lambda: 1_577_836_800_000_000)
    answers = cleared(carried)
    assert {answer.outcome for answer in answers.values()} == {None}
    assert "set the clock" in answers[light(1)].reason
    assert len(carried.telescope.content()) == 2


def test_a_source_that_tells_no_times_is_compared_byte_by_byte(bench: Bench) -> None:
    class Timeless(MemoryStore):
        def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
            for entry in super().stat(paths):
                yield entry._replace(mtime_us=None) if entry else None

        def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
            return super().fetch([replace(want, mtime_us=None) for want in wants])

    for number in (1, 2):
        bench.telescope.plant(light(number), frame_bytes(number))
    bench.carry()
    bench.clear_after = 0.0
    other = bytearray(frame_bytes(1))
    other[-1] ^= 1
    bench.telescope.disk.files[light(1)] = MemoryFile(bytes(other), THEN_US)
    answers = states(cleared(bench, Timeless(bench.telescope.disk)))
    assert answers == {light(1): "the file at the source is another one now", light(2): "done"}


def test_a_telescope_that_goes_away_half_way_leaves_receipts_of_what_was_deleted(carried: Bench) -> None:
    class Leaving(MemoryStore):
        def remove(self, path: StorePath) -> None:
            if path == light(2):
                raise Unreachable("the Wi-Fi dropped")
            super().remove(path)

    answers = cleared(carried, Leaving(carried.telescope.disk))
    assert states(answers) == {light(1): "done", light(2): "failed"}
    assert carried.told(light(1))[-1] == ("clear", "done")
    assert carried.told(light(2))[-1][0] == "deliver", "nothing was found out about it"
    assert list(carried.telescope.content()) == [light(2)]
    assert carried.witness.notes == ["the Wi-Fi dropped"]


def test_a_telescope_that_refuses_deletions_is_the_operators_and_keeps_the_receipts(carried: Bench) -> None:
    class Refusing(MemoryStore):
        def remove(self, path: StorePath) -> None:
            if path == light(2):
                raise Misconfigured("no right to delete")
            super().remove(path)

    with pytest.raises(Misconfigured, match="no right"):
        cleared(carried, Refusing(carried.telescope.disk))
    assert carried.told(light(1))[-1] == ("clear", "done")
    done = carried.carry(route=carried.route(Refusing(carried.telescope.disk)))
    assert isinstance(done.trouble, Misconfigured)
    assert done.balances[0].delivered == 2


@pytest.mark.parametrize(("trouble", "outcome"), [(Gone("gone"), "done"), (TryAgain("busy"), "failed")])
def test_one_file_that_cannot_be_deleted_keeps_no_other(carried: Bench, trouble: TryAgain | Gone, outcome: str) -> None:
    class Picky(MemoryStore):
        def remove(self, path: StorePath) -> None:
            if path == light(1):
                raise trouble
            super().remove(path)

    answers = states(cleared(carried, Picky(carried.telescope.disk)))
    assert answers == {light(1): outcome, light(2): "done"}


def test_an_archive_out_of_reach_lets_nothing_be_deleted(carried: Bench) -> None:
    carried.library.wire.lives = 0
    answers = cleared(carried)
    assert {answer.outcome for answer in answers.values()} == {Outcome.FAILED}
    assert len(carried.telescope.content()) == 2
    assert carried.told(light(1))[-1][0] == "deliver", "nothing was found out, so nothing is written"
