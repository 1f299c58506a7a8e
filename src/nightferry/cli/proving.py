"""The commands that prove: clear, audit and restore."""

import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from nightferry import api
from nightferry.cli.exits import DONE, FAILED, HELD
from nightferry.cli.progress import onlooker
from nightferry.cli.show import Cell, say, say_json, size_text, table
from nightferry.conduct import Finding, Stranger, Verdict
from nightferry.config.units import percent
from nightferry.core.display import counted
from nightferry.core.errors import Misconfigured
from nightferry.core.receipt import Outcome
from nightferry.steps.clear import Clearance

_MOST_ROWS = 40


def clear_command(place: Path | None, telescope: str, nights: Sequence[str], *, dry_run: bool, as_json: bool) -> None:
    """Delete what is proven delivered, and say why the rest stays."""
    config = api.load(place)
    with api.open_ledger(config) as ledger, onlooker(quiet=True) as watcher:
        hands = api.Hands(watcher, threading.Event())
        answers = api.clear(config, ledger, telescope, nights, dry_run=dry_run, hands=hands)
    for answer in answers if as_json else ():
        state = _state(answer, dry_run=dry_run)
        say_json({"telescope": telescope, "name": answer.candidate.path, "state": state, "reason": answer.reason})
    if not as_json:
        _tell_clearing(answers, dry_run=dry_run)
    outcomes = {answer.outcome for answer in answers}
    sys.exit(HELD if Outcome.HELD in outcomes else FAILED if Outcome.FAILED in outcomes else DONE)


def _state(answer: Clearance, *, dry_run: bool) -> str:
    if answer.outcome is Outcome.DONE:
        return "cleared"
    return "would be cleared" if dry_run and answer.outcome is None and not answer.reason else "kept"


def _tell_clearing(answers: Sequence[Clearance], *, dry_run: bool) -> None:
    kept = [answer for answer in answers if _state(answer, dry_run=dry_run) == "kept"]
    gone = [answer for answer in answers if answer not in kept]
    if dry_run and gone:
        _table("would be deleted", [[answer.candidate.path, size_text(answer.candidate.size)] for answer in gone])
    if kept:
        _table("stays, because", [[answer.candidate.path, answer.reason] for answer in kept])
    size = size_text(sum(answer.candidate.size for answer in gone))
    verb = "would be deleted" if dry_run else "deleted at the source, each with proof"
    say(f"{len(gone):,} frames ({size}) {verb}; {len(kept):,} stay")


def _table(title: str, rows: Sequence[Sequence[Cell]]) -> None:
    table(("frame", title), rows[:_MOST_ROWS])
    if len(rows) > _MOST_ROWS:
        say(f"... and {len(rows) - _MOST_ROWS:,} more (see --json)", "dim")


def audit_command(
    place: Path | None, telescope: str | None, nights: Sequence[str], *, sample: str, as_json: bool
) -> None:
    """Read back what was delivered and tell what is not as it was."""
    config = api.load(place)
    try:
        share = percent(sample)
    except ValueError as err:
        raise Misconfigured(f"--sample: {err}") from err
    counts: Counter[Verdict] = Counter()
    size = cubes = 0
    with api.open_ledger(config) as ledger, onlooker(quiet=True) as watcher:
        hands = api.Hands(watcher, threading.Event())
        chosen = api.telescope_names(config, [telescope] if telescope else [])
        for name in chosen:
            for finding in api.audit(config, ledger, name, nights, sample=share, hands=hands):
                counts[finding.verdict] += 1
                size += finding.proof.size
                cubes += finding.proof.product
                _tell_finding(name, finding, as_json=as_json)
        strange = 0
        for stranger in api.strangers(config, ledger, chosen) if "all" in nights else ():
            strange += 1
            _tell_stranger(stranger, as_json=as_json)
    if not as_json:
        bad = sum(counts.values()) - counts[Verdict.GOOD]
        words = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.items()) or "nothing to read"
        read = f"{sum(counts.values()) - cubes:,} frames" + (f" and {counted(cubes, 'cube')}" if cubes else "")
        say(f"read back {read} ({size_text(size)}): {words}", "red" if bad else "green")
        if strange:
            plural = "file" if strange == 1 else "files"
            say(f"{strange:,} {plural} that nobody delivered", "red")
    if counts[Verdict.DAMAGED] or counts[Verdict.MISSING] or strange:
        sys.exit(HELD)
    sys.exit(FAILED if counts[Verdict.UNREADABLE] else DONE)


def _tell_stranger(stranger: Stranger, *, as_json: bool) -> None:
    if as_json:
        verdict, reason = str(Verdict.FOREIGN), stranger.reason
        empty = {"telescope": "", "night": "", "frame": ""}
        say_json({**empty, "archive": stranger.archive, "name": stranger.name, "verdict": verdict, "reason": reason})
    else:
        say(f"{Verdict.FOREIGN}: {stranger.reason}", "red")


def _tell_finding(telescope: str, finding: Finding, *, as_json: bool) -> None:
    if as_json:
        proof = finding.proof
        say_json(
            {
                "telescope": telescope,
                "night": proof.night.date.isoformat(),
                "archive": finding.archive,
                "name": proof.name,
                "frame": proof.path,
                "verdict": str(finding.verdict),
                "reason": finding.reason,
            }
        )
    elif finding.verdict is not Verdict.GOOD:
        say(f"{finding.verdict}: {finding.reason}", "red")


def restore_command(place: Path | None, frame: str, into: Path, *, dry_run: bool, as_json: bool) -> None:
    """Rebuild one raw file, and tell where it stands and of what it was made."""
    config = api.load(place)
    with api.open_ledger(config) as ledger:
        done = api.restore(config, ledger, frame, into, dry_run=dry_run)
    if as_json:
        say_json(
            {
                "file": str(done.file),
                "size": done.size,
                "digest": done.digest,
                "source": done.source,
                "written": not dry_run,
            }
        )
    elif dry_run:
        say(f"{done.file} would be restored from {done.source}; nothing was written")
    else:
        say(f"{done.file}: {done.size:,} bytes, BLAKE3 {done.digest[:16]}, as they came ({done.source})")
