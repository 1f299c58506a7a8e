"""The deliver step: what counts as delivered, and what is never overwritten."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from nightferry.core.errors import Held, Misconfigured, NightferryError, NoSpace, Unreachable
from nightferry.core.frame import Frame
from nightferry.core.receipt import Outcome, Result
from nightferry.core.store import Load, PutAnswer, Store, StorePath
from nightferry.steps.deliver import Deliver
from nightferry.steps.pull import SHELVED
from nightferry.stores.local import LocalStore
from nightferry.stores.memory import MemoryFile, MemoryStore
from tests.unit.conftest import THEN_US, Bench, digest_of, frame_bytes, light, name_of


def delivered(bench: Bench, *frames: Frame, store: Store | None = None) -> list[Result]:
    route = bench.route(archives={"library": store or bench.library.store})
    return list(route.deliveries["library"](frames))


def delivered_until(
    bench: Bench, *frames: Frame, store: Store | None = None
) -> tuple[list[Result], NightferryError | None]:
    """Deliver and tell the answers, and what was raised behind them."""
    route = bench.route(archives={"library": store or bench.library.store})
    results: list[Result] = []
    try:
        results.extend(route.deliveries["library"](frames))
    except NightferryError as err:
        return results, err
    return results, None


def library_of(bench: Bench, name: str = "library") -> LocalStore:
    (bench.home / name).mkdir(exist_ok=True)
    return LocalStore(bench.home / name)


def test_delivered_frames_are_read_back(bench: Bench) -> None:
    frames = [bench.shelved(light(number), frame_bytes(number)) for number in (1, 2, 3)]
    results = delivered(bench, *frames)
    assert [result.outcome for result in results] == [Outcome.DONE] * 3
    assert bench.library.content() == {name_of(number): frame_bytes(number) for number in (1, 2, 3)}
    assert results[0].proof == {
        "name": name_of(1), "archive": "memory:library", "how": "reread", "was_there": False,
    }  # fmt: skip


def test_the_same_bytes_under_the_name_are_a_delivery(bench: Bench) -> None:
    bench.library.plant(name_of(1), frame_bytes(1))
    (result,) = delivered(bench, bench.shelved(light(1), frame_bytes(1)))
    assert (result.outcome, result.proof["was_there"]) == (Outcome.DONE, True)


def test_other_bytes_under_the_name_are_never_overwritten(bench: Bench) -> None:
    bench.library.plant(name_of(1), b"a user's own file")
    (result,) = delivered(bench, bench.shelved(light(1), frame_bytes(1)))
    assert result.outcome is Outcome.HELD
    assert "holds other bytes" in result.reason
    assert "nothing was overwritten" in result.reason
    assert bench.library.content() == {name_of(1): b"a user's own file"}
    assert result.proof["found"] == digest_of(b"a user's own file")


def test_two_frames_that_want_one_name_do_not_overwrite_each_other(bench: Bench) -> None:
    one = bench.shelved(light(1), frame_bytes(1))
    other = bench.shelved(StorePath("elsewhere/img-0001.fits"), frame_bytes(2))
    step = Deliver(bench.library.store, "library", lambda _: name_of(1))
    assert [result.outcome for result in step([one, other])] == [Outcome.DONE, Outcome.HELD]
    assert bench.library.content() == {name_of(1): frame_bytes(1)}


def test_a_file_where_the_name_needs_a_folder_is_held(bench: Bench) -> None:
    library = library_of(bench)
    (bench.home / "library" / "M 31").write_text("a user's own file")
    (result,) = delivered(bench, bench.shelved(light(1), frame_bytes(1)), store=library)
    assert result.outcome is Outcome.HELD
    assert "move that away, then release" in result.reason
    assert (bench.home / "library" / "M 31").read_text() == "a user's own file"


def test_an_archive_that_keeps_only_a_part_has_not_got_the_frame(bench: Bench) -> None:
    class Forgetful(MemoryStore):
        def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
            for load in loads:
                self.disk.files[load.target] = MemoryFile(load.source.read_bytes()[:100], THEN_US)
                yield None

    (result,) = delivered(bench, bench.shelved(light(1), frame_bytes(1)), store=Forgetful(bench.library.disk))
    assert result.outcome is Outcome.FAILED
    assert "damaged on the way or on that disk" in result.reason


def test_an_archive_that_is_full_is_tried_again(bench: Bench) -> None:
    frames = [bench.shelved(light(number), frame_bytes(number)) for number in (1, 2)]
    bench.library.wire.space = len(frame_bytes(1)) + 10
    results, trouble = delivered_until(bench, *frames)
    assert [result.outcome for result in results] == [Outcome.DONE, Outcome.FAILED]
    assert "no space" in results[1].reason
    assert isinstance(trouble, NoSpace)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (NoSpace("full"), Outcome.FAILED),
        (Misconfigured("read-only"), Outcome.FAILED),
        (Held("no such name on this disk"), Outcome.HELD),
    ],
)
def test_a_refusal_is_sorted_by_who_must_act(
    bench: Bench, answer: NoSpace | Misconfigured | Held, outcome: Outcome
) -> None:
    class Refusing(MemoryStore):
        def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
            for _ in loads:
                yield answer

    ((result,), trouble) = delivered_until(bench, bench.shelved(light(1), frame_bytes(1)), store=Refusing())
    assert (result.outcome, result.reason) == (outcome, str(answer))
    assert trouble is (None if isinstance(answer, Held) else answer), "what concerns the whole archive is raised, too"


def test_an_archive_out_of_reach_ends_the_batch(bench: Bench) -> None:
    bench.library.wire.lives = 0
    with pytest.raises(Unreachable):
        delivered(bench, bench.shelved(light(1), frame_bytes(1)))


def test_an_archive_that_goes_away_while_it_is_read_back_proves_nothing(bench: Bench) -> None:
    class Leaving(MemoryStore):
        def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
            yield from super().put(loads)
            bench.library.wire.lives = 0

    store = Leaving(bench.library.disk, wire=bench.library.wire)
    with pytest.raises(Unreachable):
        delivered(bench, bench.shelved(light(1), frame_bytes(1)), store=store)


def test_on_the_shelfs_own_disk_a_frame_is_linked(bench: Bench) -> None:
    frame = bench.shelved(light(1), frame_bytes(1))
    library = library_of(bench)
    (result,) = delivered(bench, frame, store=library)
    assert (result.outcome, result.proof["how"]) == (Outcome.DONE, "linked")
    assert (bench.home / "library" / name_of(1)).stat().st_ino == frame.file.stat().st_ino


def test_a_working_file_changed_through_its_link_reaches_no_other_archive(bench: Bench) -> None:
    frame = bench.shelved(light(1), frame_bytes(1))
    library = library_of(bench)
    delivered(bench, frame, store=library)
    with (bench.home / "library" / name_of(1)).open("r+b") as file:
        file.write(b"X")
    (result,) = delivered(bench, frame)
    assert result.outcome is Outcome.FAILED
    assert "pulled anew" in result.reason
    assert bench.library.content() == {}
    assert not frame.file.exists(), "the next pass must pull it again"
    assert (bench.home / "library" / name_of(1)).exists(), "what a person changed in his library stays"


def test_a_working_file_from_an_earlier_pass_is_read_again_linked_or_not(bench: Bench) -> None:
    frame = bench.shelved(light(1), frame_bytes(1))
    frame.file.write_bytes(frame_bytes(2))
    old = replace(frame, facts={SHELVED: True})
    (result,) = delivered(bench, old, store=library_of(bench))
    assert result.outcome is Outcome.FAILED
    assert not list((bench.home / "library").rglob("*.fits"))


def test_a_sound_working_file_with_a_link_is_delivered_to_the_next_archive(bench: Bench) -> None:
    frame = bench.shelved(light(1), frame_bytes(1))
    for folder in ("one", "two"):
        (result,) = delivered(bench, frame, store=library_of(bench, folder))
        assert (result.outcome, result.proof["how"]) == (Outcome.DONE, "linked")
    assert frame.file.stat().st_nlink == 3


def test_a_working_file_that_rotted_is_blamed_and_taken_away(bench: Bench) -> None:
    frame = bench.shelved(light(1), frame_bytes(1))
    frame.file.write_bytes(frame_bytes(2))
    (result,) = delivered(bench, frame)
    assert result.outcome is Outcome.FAILED
    assert "pulled anew" in result.reason
    assert not frame.file.exists()


def test_a_lost_working_file_costs_no_other_frame_its_delivery(bench: Bench) -> None:
    lost, there = bench.shelved(light(1), frame_bytes(1)), bench.shelved(light(2), frame_bytes(2))
    Path(lost.file).unlink()
    results = {result.source.id: result for result in delivered(bench, lost, there)}
    assert results[lost.id].outcome is Outcome.FAILED
    assert results[there.id].outcome is Outcome.DONE
