"""What a step raises costs the frame that is to blame, and no other."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import pytest

from nightferry.core.errors import NoSpace, Stopped, TryAgain, Unreachable
from nightferry.core.frame import Sighting
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Result
from nightferry.core.store import StorePath
from nightferry.passes.attempt import attempt

NIGHT = Night("vespera", date(2026, 3, 1))
BATCH = [Sighting(NIGHT, StorePath(f"{number}.fits"), 2880, 1, 1) for number in range(30)]


@dataclass
class Breaks:
    """A step that answers, and does something else at some inputs."""

    at: dict[int, Callable[[], Exception]]
    name: str = "verify"
    version: str = "1"
    target: str = ""

    def __call__(self, batch: Sequence[Sighting]) -> Iterator[Result]:
        """Answer each input in turn."""
        for item in batch:
            if (error := self.at.get(BATCH.index(item))) is not None:
                raise error()
            yield Result(item, Outcome.DONE)


def outcomes(step: Breaks) -> list[Outcome]:
    """Return the outcome of each input of the batch."""
    found = {result.source.id: result.outcome for result in attempt(step, BATCH).results}
    assert len(found) == len(BATCH)
    return [found[item.id] for item in BATCH]


@pytest.mark.parametrize("place", [0, 11, 29])
def test_what_breaks_one_frame_breaks_no_other(place: int) -> None:
    found = outcomes(Breaks({place: lambda: OverflowError("date value out of range")}))
    assert found == [Outcome.BROKEN if number == place else Outcome.DONE for number in range(30)]


def test_several_broken_frames_of_a_batch_are_told_apart() -> None:
    found = outcomes(Breaks({3: lambda: ValueError("one"), 4: lambda: KeyError("two"), 20: lambda: TryAgain("later")}))
    assert found[3] is found[4] is Outcome.BROKEN
    assert found[20] is Outcome.FAILED
    assert found.count(Outcome.DONE) == 27


def test_a_broken_frame_keeps_its_traceback() -> None:
    (result,) = attempt(Breaks({0: lambda: OverflowError("too large")}), BATCH[:1]).results
    assert result.reason == "a bug in nightferry: OverflowError: too large"
    assert "in __call__" in str(result.proof["traceback"])


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.EACCES, errno.EMFILE])
def test_no_error_of_the_operating_system_is_a_bug(code: int) -> None:
    def refuse() -> OSError:
        return OSError(code, os.strerror(code), "/shelf/0001")

    found = attempt(Breaks({5: refuse}), BATCH)
    bad = [result for result in found.results if result.outcome is not Outcome.DONE]
    assert [result.outcome for result in bad] == [Outcome.FAILED]
    assert os.strerror(code) in bad[0].reason
    assert "/shelf/0001" in bad[0].reason
    assert "bug" not in bad[0].reason


@pytest.mark.parametrize("kind", [Unreachable, NoSpace])
def test_what_concerns_the_whole_store_is_not_asked_again_for_each_frame(kind: type[TryAgain]) -> None:
    calls: list[int] = []

    class Counted(Breaks):
        def __call__(self, batch: Sequence[Sighting]) -> Iterator[Result]:
            calls.append(len(batch))
            return super().__call__(batch)

    def first_a_bug() -> Exception:
        return ValueError("odd") if len(calls) < 3 else kind("away")

    found = attempt(Counted({2: first_a_bug, 3: lambda: kind("away")}), BATCH)
    assert isinstance(found.trouble, kind)
    assert len(calls) < 5
    assert sum(result.outcome is Outcome.FAILED for result in found.results) == 27


def test_a_stop_in_a_batch_that_is_done_again_leaves_no_answer_for_the_rest() -> None:
    found = attempt(Breaks({2: lambda: ValueError("odd"), 7: lambda: Stopped("Ctrl-C")}), BATCH)
    assert isinstance(found.trouble, Stopped)
    assert len(found.results) == 7
