"""``solve``: fields looked up on any files, without a ledger."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import typer

from nightferry.assemble import solve_settings
from nightferry.cli.exits import DONE, FAILED, HELD
from nightferry.cli.show import Json, say, say_json
from nightferry.config import find_telescope
from nightferry.config.units import arcseconds, degrees, seconds
from nightferry.core.errors import Held, Misconfigured, NightferryError
from nightferry.core.frame import Fact
from nightferry.pools import SturdyProcesses
from nightferry.solving.cards import write_solution
from nightferry.solving.engines import load_engine
from nightferry.solving.frame import facts_of, shelved
from nightferry.solving.learning import learn, relearnt
from nightferry.solving.model import Answer, Settings
from nightferry.solving.worker import lost, solve_task

_MOST_WORKERS = 2


class Wanted(NamedTuple):
    """What the options of ``solve`` ask for."""

    telescope: str = ""
    engine: str = ""
    places: tuple[Path, ...] = ()
    near: str = ""
    radius: str = ""
    scale: str = ""
    timeout: str = ""
    again: bool = False
    write: bool = False
    into: Path | None = None
    workers: int = 0
    facts: bool = False
    dry_run: bool = False
    as_json: bool = False


def solve_command(config: Path | None, files: Sequence[Path], wanted: Wanted) -> None:
    """Solve files in worker processes; one bad file never costs another."""
    settings = _settings(config, wanted)
    load_engine(settings.engine)
    shelved(settings.indexes, usual=settings.usual)  # what is missing is told before anything is read
    if wanted.into is not None and not wanted.dry_run:
        if not wanted.into.parent.is_dir():
            raise Misconfigured(f"{wanted.into}: there is no folder {wanted.into.parent}; is its disk mounted?")
        wanted.into.mkdir(exist_ok=True)
    answers = list(_answers(files, settings, wanted.workers))
    warps = learn(answers)
    codes = []
    for file, answer in zip(files, answers, strict=True):
        told = answer
        warp = warps.get(answer.instrument)
        if warp is not None and (solution := relearnt(answer, warp)) is not None:
            told = replace(answer, solution=solution, facts={**answer.facts, **facts_of(solution, answer.size)})
        codes.append(_finish(file, told, wanted))
    raise typer.Exit(next((code for code in (HELD, FAILED) if code in codes), DONE))


def _settings(config: Path | None, wanted: Wanted) -> Settings:
    """Join what the telescope's configuration says with what the options say, which come first."""
    settings = solve_settings(find_telescope(config, wanted.telescope)) if wanted.telescope else Settings()
    if wanted.engine:
        settings = replace(settings, engine=wanted.engine)
    if wanted.places:
        settings = replace(settings, indexes=(*wanted.places, *settings.indexes))
    if wanted.near:
        settings = replace(settings, near=read_place(wanted.near, "--near"))
    try:
        if wanted.radius:
            settings = replace(settings, radius=degrees(wanted.radius))
        if wanted.timeout:
            settings = replace(settings, seconds=max(1.0, seconds(wanted.timeout)))
        if wanted.scale:
            low, _, high = wanted.scale.partition("..")
            one = arcseconds(low.strip() if "arc" in low else f"{low.strip()} arcsec")
            other = arcseconds(high.strip()) if high else one
            settings = replace(settings, scales=(min(one, other) * 0.95, max(one, other) * 1.05))
    except ValueError as err:
        raise Misconfigured(str(err)) from err
    return replace(settings, again=wanted.again)


def read_place(text: str, option: str) -> tuple[float, float]:
    """Read a place in degrees such as ``192.7,41.1``; raise `Misconfigured` for anything else."""
    try:
        ra, dec = (float(part) for part in text.split(","))
    except ValueError as err:
        raise Misconfigured(
            f"{option} {text!r}: expected right ascension and declination in degrees: 192.7,41.1"
        ) from err
    if not (0 <= ra <= 360 and abs(dec) <= 90):  # noqa: PLR2004 - the sphere
        raise Misconfigured(f"{option} {text!r} is not on the sphere: expected 0 to 360, and -90 to 90 degrees")
    return ra % 360.0, dec


def _answers(files: Sequence[Path], settings: Settings, workers: int) -> Iterator[Answer]:
    """Solve in processes of their own: the search is C code that may crash, and cannot be interrupted."""
    count = workers or min(_MOST_WORKERS, os.cpu_count() or 1, len(files))
    with SturdyProcesses(count) as crew:
        futures = [crew.submit(solve_task, file, settings) for file in files]
        for future in futures:
            try:
                yield future.result()
            except BrokenProcessPool:
                yield Answer(None, lost(settings.seconds), world=True)


def _finish(file: Path, answer: Answer, wanted: Wanted) -> int:
    """Write what is to be written, tell what was found, and give the exit code that the file asks for."""
    reason, where = answer.reason, ""
    if answer.solution is not None and (wanted.write or wanted.into) and not wanted.dry_run:
        try:
            where = _write(file, answer, wanted)
        except NightferryError as err:
            reason = f"solved, but not written: {err}"
    if wanted.as_json:
        say_json(_as_json(file, answer, reason, facts=wanted.facts))
    elif answer.solution is None:
        say(f"{file}: not solved: {reason}", "yellow" if answer.world else "red")
    else:
        say(f"{file}: {_told(answer.facts)}{where}", "green")
        if reason:
            say(f"    {reason}", "red")
    if not wanted.as_json and wanted.facts:
        for key, value in answer.facts.items():
            say(f"    {key} = {value}")
    if answer.solution is not None and not reason:
        return DONE
    return FAILED if answer.world else HELD


def _write(file: Path, answer: Answer, wanted: Wanted) -> str:
    assert answer.solution is not None  # noqa: S101 - the caller looked
    if answer.solution.checked:
        return "; its own header stands"
    target = wanted.into / file.name if wanted.into is not None else None
    try:
        in_place = write_solution(file, answer.solution, answer.hdu, target)
    except OSError as err:
        raise Held(f"{target or file} cannot be written: {err.strerror or err}; check disk and permissions") from err
    if target is not None:
        return f" -> {target}"
    return "; written" if in_place else "; written anew, for its header had no room"


def _told(facts: Mapping[str, Fact]) -> str:
    ra, dec, scale, turn, rms = (
        float(facts.get(key) or 0.0) for key in ("ra", "dec", "pixel_scale", "rotation", "rms_arcsec")
    )
    how = "its solution holds" if facts.get("checked") else "solved"
    return (
        f"{how}: {ra:.5f} {dec:+.5f} deg, {scale:.4f} arcsec/pixel, rotation {turn:.2f} deg, "
        f"{facts.get('matched')} stars within {rms:.2f} arcsec"
    )


def _as_json(file: Path, answer: Answer, reason: str, *, facts: bool) -> dict[str, Json]:
    told = dict(answer.facts)
    keys = ("ra", "dec", "pixel_scale", "rotation", "rms_arcsec", "matched")
    solved = answer.solution is not None
    found: dict[str, Json] = {"file": str(file), "solved": solved}
    found |= {key: told.get(key) if solved else None for key in keys}
    found |= {"seconds": round(answer.seconds, 4), "reason": reason}
    return {**found, "facts": told} if facts else found
