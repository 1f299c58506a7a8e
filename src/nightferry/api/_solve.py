"""Solve any files, without a ledger."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

from nightferry.api._telescopes import folder_for
from nightferry.assemble import solve_settings
from nightferry.config import find_telescope
from nightferry.core.errors import Held, NightferryError
from nightferry.pools import SturdyProcesses
from nightferry.solving.cards import write_solution
from nightferry.solving.engines import load_engine
from nightferry.solving.frame import facts_of, shelved
from nightferry.solving.learning import learn, relearnt
from nightferry.solving.model import Answer, Settings
from nightferry.solving.worker import lost, solve_task

_MOST_WORKERS = 2


@dataclass(frozen=True, slots=True)
class Solved:
    """What was found of a file's field.

    ``written`` is ``"kept"`` when the file's own solution holds, ``"copy"``, ``"in place"``, or ``"anew"`` when the
    header had no room, and empty when nothing was written; ``trouble`` is why it could not be.
    """

    file: Path
    answer: Answer
    written: str = ""
    trouble: str = ""

    @property
    def reason(self) -> str:
        """Why it was not solved, or not written; empty when all is well."""
        return self.trouble or self.answer.reason

    @property
    def ok(self) -> bool:
        """Whether it was solved, and written where that was asked for."""
        return self.answer.solution is not None and not self.reason


def solving_of(telescope: str, *, place: Path | None = None) -> Settings:
    """Return how the frames of a telescope are solved, by its name in the configuration or by that of a preset."""
    return solve_settings(find_telescope(place, telescope))


def solve(
    files: Sequence[Path],
    settings: Settings | None = None,
    *,
    write: bool = False,
    into: Path | None = None,
    workers: int = 0,
    dry_run: bool = False,
) -> Iterator[Solved]:
    """Find out where frames look, in worker processes (0: up to two); one bad file costs no other.

    ``write`` puts a solution into the file's header, ``into`` into that of a copy in this folder. Raises
    `Misconfigured` when there is no engine, or no index file, before anything is read.
    """
    settings = settings or Settings()
    load_engine(settings.engine)
    shelved(settings.indexes, usual=settings.usual)
    if into is not None and not dry_run:
        folder_for(into)
    answers = list(_answers(files, settings, workers))
    warps = learn(answers)
    for file, answer in zip(files, answers, strict=True):
        told = answer
        warp = warps.get(answer.instrument)
        if warp is not None and (solution := relearnt(answer, warp)) is not None:
            told = replace(answer, solution=solution, facts={**answer.facts, **facts_of(solution, answer.size)})
        yield _written(file, told, into) if (write or into) and not dry_run else Solved(file, told)


def _answers(files: Sequence[Path], settings: Settings, workers: int) -> Iterator[Answer]:
    """Solve in processes of their own: the search is C code that may crash, and cannot be interrupted."""
    count = workers or min(_MOST_WORKERS, os.cpu_count() or 1, len(files))
    with SturdyProcesses(count) as pool:
        futures = [pool.submit(solve_task, file, settings) for file in files]
        for future in futures:
            try:
                yield future.result()
            except BrokenProcessPool:
                yield Answer(None, lost(settings.seconds), world=True)


def _written(file: Path, answer: Answer, into: Path | None) -> Solved:
    if answer.solution is None:
        return Solved(file, answer)
    if answer.solution.checked:
        return Solved(file, answer, "kept")
    target = into / file.name if into is not None else None
    try:
        in_place = write_solution(file, answer.solution, answer.hdu, target)
    except OSError as err:
        why = Held(f"{target or file} cannot be written: {err.strerror or err}; check disk and permissions")
        return Solved(file, answer, trouble=f"solved, but not written: {why}")
    except NightferryError as err:
        return Solved(file, answer, trouble=f"solved, but not written: {err}")
    return Solved(file, answer, "copy" if target is not None else "in place" if in_place else "anew")
