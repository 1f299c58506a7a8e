"""Solve: tell where a frame looks, and keep what its stars tell. The raw frame stays as it is.

The solution's cards go on with the frame as a fact, into the one header that `standardise` writes. The work is done in
the pool's processes, or in children of its threads; what one frame teaches the next (place, scale, distortion) lies in
a folder of the night on the shelf, and so does a mark of the frame in work: one that was under way when its worker
ended is tried once more in a process of its own, and then given up.
"""

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nightferry.core.context import site_settings
from nightferry.core.errors import Misconfigured
from nightferry.core.frame import Fact, Frame, Role
from nightferry.core.receipt import Outcome, Receipt, Result
from nightferry.core.step import SOLVE, Recalled
from nightferry.core.version import Settings as Named
from nightferry.core.version import version_of
from nightferry.disk.errors import translated
from nightferry.disk.files import write_anew
from nightferry.headers.profiles.former import former_version, site_text, text_of
from nightferry.solving.model import Answer, Hints, Settings
from nightferry.steps.shelf import Shelf
from nightferry.steps.standardise import SOLUTION

if TYPE_CHECKING:
    from nightferry.solving.warp import Warp

_FOLDER = "solving"


@dataclass(frozen=True, slots=True)
class Solve:
    """The step. ``failure`` says what becomes of a frame without a solution: held, or marked and carried on."""

    shelf: Shelf
    settings: Settings
    failure: Literal["hold", "mark"] = "mark"
    name: str = SOLVE
    target: str = ""
    form: str = field(default="1", repr=False)

    @property
    def version(self) -> str:
        """Changes with the step, its settings, its engine, and the index files that are there."""
        settings = self.settings
        named: Named = {
            "engine": self._engine(),
            "index": self._index_files(),
            "scales": None if settings.scales is None else list(settings.scales),
            "radius": settings.radius,
            "timeout": settings.seconds,
            "dialect": settings.dialect,
            "site": site_settings(settings.site),
            "again": settings.again,
            "near": None if settings.near is None else list(settings.near),
            "failure": self.failure,
        }
        return version_of(self.form, named)

    @property
    def former(self) -> str:
        """What the version of these settings was called before it was a digest of named settings."""
        told, site = self.settings, self.settings.site
        text = text_of(
            "Settings", engine=told.engine, indexes=told.indexes, usual=told.usual, scales=told.scales,
            radius=told.radius, seconds=told.seconds, dialect=told.dialect, dialects=told.dialects,
            site=None if site is None else site_text(site.latitude, site.longitude, site.elevation),
            again=told.again, near=told.near, earlier=None,
        )  # fmt: skip
        return former_version(text, self.failure, self._engine(), *self._index_files())

    def _engine(self) -> str:
        from nightferry.solving.engines import load_engine  # noqa: PLC0415 - an extra

        return load_engine(self.settings.engine).name

    def _index_files(self) -> list[str]:
        """Return the index files by name and what is in them, wherever they lie."""
        from nightferry.solving.frame import shelved  # noqa: PLC0415 - brings numpy, which not every route needs

        indexes = shelved(self.settings.indexes, usual=self.settings.usual)
        return [f"{index.path.name} {index.stars} {index.quads}" for index in indexes]

    def recall(self, frame: Frame, receipt: Receipt) -> Recalled:
        """Give a frame the solution that was found before, so that the same product is made of it again."""
        told = receipt.proof.get(SOLUTION)
        return Recalled(_with_solution(frame, str(told) if told else ""), done=True)

    def __call__(self, batch: Sequence[Frame]) -> Iterator[Result]:
        """Solve each frame; those of a batch that were solved before a distortion was learnt are fitted anew."""
        results: dict[str, Result] = {}
        by_folder: dict[Path, list[Frame]] = {}
        for frame in batch:
            if frame.role is Role.RAW and frame.facts.get("kind", "fits") == "fits":
                by_folder.setdefault(self.shelf.folder(frame.night) / _FOLDER, []).append(frame)
            else:
                results[frame.id] = Result(frame, Outcome.DONE, "", {"solved": False, "why": "not FITS"}, frame)
        for folder, frames in by_folder.items():
            for frame, answer in self._solved(folder, frames):
                results[frame.id] = self._result(frame, answer)
        yield from (results[frame.id] for frame in batch)

    def _solved(self, folder: Path, frames: Sequence[Frame]) -> list[tuple[Frame, Answer]]:
        """Solve frames of one night, with what others taught and for what others will need."""
        from nightferry.solving.frame import facts_of  # noqa: PLC0415 - brings numpy, which not every route needs
        from nightferry.solving.learning import relearnt  # noqa: PLC0415 - as above

        notes = Notes(folder)
        answers = [(frame, self._one(frame, notes)) for frame in frames]
        notes.keep()
        warps = notes.warps()
        told: list[tuple[Frame, Answer]] = []
        for frame, answer in answers:
            warp = warps.get(answer.instrument)
            if warp is not None and answer.solution is not None and answer.solution.fit.warp != "learnt":
                solution = relearnt(answer, warp)
                if solution is not None:
                    facts = {**answer.facts, **facts_of(solution, answer.size)}
                    told.append((frame, replace(answer, solution=solution, facts=facts)))
                    continue
            told.append((frame, answer))
        return told

    def _one(self, frame: Frame, notes: "Notes") -> Answer:
        from nightferry.solving.frame import solve_frame  # noqa: PLC0415 - as above
        from nightferry.solving.worker import (  # noqa: PLC0415 - as above
            CHANCES,
            SLACK,
            alarm,
            is_worker,
            lost,
            solve_apart,
            solve_beside,
        )

        began = time.perf_counter()
        mark = notes.folder / f"{frame.id}.tries"
        if (tries := _tries(mark)) >= CHANCES:
            mark.unlink(missing_ok=True)
            return Answer(None, lost(self.settings.seconds), seconds=time.perf_counter() - began)
        with translated(mark, "the shelf"):
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(str(tries + 1), encoding="ascii")
        settings = replace(self.settings, earlier=notes.earlier)
        name = frame.name.rpartition("/")[2]
        try:
            if tries:  # it ended a worker, or was under way when another frame did
                answer = solve_apart(frame.file, settings, name)
            elif not is_worker():
                answer = solve_beside(frame.file, settings, notes.warps(), name)
            else:
                with alarm(SLACK * self.settings.seconds):
                    answer = solve_frame(frame.file, settings, notes.warps(), name=name)
        except Misconfigured as err:
            answer = Answer(None, str(err), world=True)
        mark.unlink(missing_ok=True)
        notes.add(answer)
        return answer

    def _result(self, frame: Frame, answer: Answer) -> Result:
        facts: dict[str, Fact] = {"solved": answer.solution is not None, **answer.facts}
        if answer.solution is not None:
            cards = "" if answer.solution.checked else _cards(answer)
            product = _with_solution(frame, cards)
            return Result(frame, Outcome.DONE, "", {**facts, SOLUTION: cards}, product, answer.seconds)
        facts["why"] = answer.reason
        if answer.world:
            return Result(frame, Outcome.FAILED, answer.reason, facts, None, answer.seconds)
        if answer.sky and self.failure == "hold":
            return Result(frame, Outcome.HELD, f"not solved: {answer.reason}", facts, None, answer.seconds)
        return Result(frame, Outcome.DONE, "", facts, frame, answer.seconds)


class Notes:
    """What a night's frames taught, as the workers leave it to each other: one file for each process, or thread."""

    def __init__(self, folder: Path) -> None:
        from nightferry.solving.learning import Lesson, read_lesson  # noqa: PLC0415 - as above

        self.folder = folder
        self.earlier: Hints | None = None
        self._mine = folder / f"notes-{os.getpid()}-{threading.get_native_id()}.json"
        self._own: dict[str, Lesson] = {}
        self._others: dict[str, Lesson] = {}
        for path in sorted(folder.glob("notes-*.json")) if folder.is_dir() else ():
            told = _read_notes(path)
            self.earlier = _as_hints(told.get("earlier")) or self.earlier
            lessons = told.get("lessons")
            for instrument, text in lessons.items() if isinstance(lessons, dict) else ():
                if (lesson := read_lesson(str(text))) is None:
                    continue
                into = self._own if path == self._mine else self._others
                known = into.get(instrument)
                into[instrument] = lesson if known is None else known.plus(lesson)

    def warps(self) -> "dict[str, Warp]":
        """Return the distortions that are known by now."""
        found = {}
        for instrument in {*self._own, *self._others}:
            known = [lessons[instrument] for lessons in (self._own, self._others) if instrument in lessons]
            lesson = known[0] if len(known) == 1 else known[0].plus(known[1])
            if (warp := lesson.warp()) is not None:
                found[instrument] = warp
        return found

    def add(self, answer: Answer) -> None:
        """Take what a frame teaches."""
        from nightferry.solving.learning import added, lesson_of  # noqa: PLC0415 - as above

        solution = answer.solution
        if solution is None:
            return
        self._own = added(self._own, answer.instrument, lesson_of(answer))
        ra, dec = answer.facts.get("ra"), answer.facts.get("dec")
        if isinstance(ra, float) and isinstance(dec, float):
            self.earlier = Hints(ra, dec, scale=solution.wcs.scale)

    def keep(self) -> None:
        """Write down what this process learnt; a reader finds the old notes or the new ones, never half of them."""
        told: dict[str, object] = {"lessons": {name: lesson.text() for name, lesson in self._own.items()}}
        if self.earlier is not None:
            told["earlier"] = [self.earlier.ra, self.earlier.dec, self.earlier.scale]
        with translated(self._mine, "the shelf"):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_anew(self._mine, json.dumps(told).encode("ascii"), durable=False)  # notes only save time


def _read_notes(path: Path) -> Mapping[str, object]:
    """Read one process' notes; none where they cannot be read, for they only save time."""
    try:
        told = json.loads(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _as_hints(told: object) -> Hints | None:
    if not isinstance(told, list) or len(told) != 3 or not all(isinstance(value, float) for value in told):  # noqa: PLR2004 - place and scale
        return None
    return Hints(told[0], told[1], scale=told[2])


def _with_solution(frame: Frame, cards: str) -> Frame:
    return replace(frame, facts={**frame.facts, SOLUTION: cards}) if cards else frame


def _cards(answer: Answer) -> str:
    """Write the solution's cards, 80 columns a line."""
    from nightferry.headers.profiles.make import celestial_cards  # noqa: PLC0415 - as above

    assert answer.solution is not None  # noqa: S101 - the caller looked
    return "\n".join(card.raw.decode("ascii").rstrip() for card in celestial_cards(answer.solution.wcs))


def _tries(mark: Path) -> int:
    try:
        return int(mark.read_text(encoding="ascii") or "0")
    except (FileNotFoundError, ValueError):
        return 0
