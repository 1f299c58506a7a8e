"""The commands that prove: clear, audit and restore."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nightferry import api
from nightferry.cli.exits import DONE, FAILED, HELD, code_of, say_error
from nightferry.cli.progress import onlooker
from nightferry.cli.show import Cell, say, say_json, size_text, table
from nightferry.config.units import percent
from nightferry.core.audit import Finding, Stranger, Verdict
from nightferry.core.display import counted
from nightferry.core.errors import Misconfigured, NightferryError
from nightferry.core.receipt import Outcome
from nightferry.steps.clear import Clearance

_MOST_ROWS = 40


def clear_command(place: Path | None, telescope: str, nights: Sequence[str], *, dry_run: bool, as_json: bool) -> None:
    """Delete what is proven delivered, and say why the rest stays."""
    config = api.load(place)
    with api.open_ledger(config, reading=dry_run) as ledger, onlooker(quiet=True) as watcher:
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
    api.evenings_of(nights)  # a slip of the keyboard is nobody else's affair
    read = _Read()
    with api.open_ledger(config) as ledger, onlooker(quiet=True) as watcher:
        chosen = api.telescope_names(config, [telescope] if telescope else [])
        with api.audit_alerts(config, ledger, watcher.note) as alerts:
            hands = api.Hands(watcher, threading.Event())
            for name in chosen:
                found = api.audit(config, ledger, name, nights, sample=share, hands=hands)
                _read_back(read, name, found, alerts, as_json=as_json)
            if "all" in nights:
                archives = api.own_archives(config, chosen)
                _look_through(read, archives, api.strangers(config, ledger, chosen), alerts, as_json=as_json)
    if not as_json:
        _sum_up(read)
    if read.trouble is not None:
        say_error(str(read.trouble))
    sys.exit(_audit_code(read))


def _audit_code(read: "_Read") -> int:
    """Tell the exit code: misconfigured, then what needs a person, then the rest."""
    if isinstance(read.trouble, Misconfigured):
        return code_of(read.trouble)
    if read.counts[Verdict.DAMAGED] or read.counts[Verdict.MISSING] or read.strange:
        return HELD
    return FAILED if read.trouble is not None or read.counts[Verdict.UNREADABLE] else DONE


@dataclass(slots=True)
class _Read:
    """What was read back: verdicts, bytes, how many of it were cubes, strangers, and the first trouble on the way."""

    counts: Counter[Verdict] = field(default_factory=Counter)
    size: int = 0
    cubes: int = 0
    strange: int = 0
    trouble: NightferryError | None = None


def _read_back(
    read: _Read, telescope: str, found: Iterator[Finding], alerts: api.AuditAlerts, *, as_json: bool
) -> None:
    """Tell of each finding; what keeps one telescope's audit from its end keeps no other's."""
    trouble: NightferryError | None = None
    try:
        for finding in found:
            read.counts[finding.verdict] += 1
            read.size += finding.proof.size
            read.cubes += finding.proof.product
            _tell_finding(telescope, finding, as_json=as_json)
            alerts.found(telescope, finding)
    except NightferryError as err:
        trouble = _other(read, err, telescope)
    alerts.ended(telescope, trouble)


def _look_through(
    read: _Read, archives: Sequence[str], found: Iterator[Stranger], alerts: api.AuditAlerts, *, as_json: bool
) -> None:
    strange: list[Stranger] = []
    trouble: NightferryError | None = None
    try:
        for stranger in found:
            strange.append(stranger)
            _tell_stranger(stranger, as_json=as_json)
    except NightferryError as err:
        trouble = _other(read, err, "files that nobody delivered")
    read.strange = len(strange)
    alerts.listed(archives, strange, trouble)


def _other(read: _Read, err: NightferryError, what: str) -> NightferryError:
    """Keep the first trouble for the end, and say the others at once."""
    if read.trouble is None:
        read.trouble = err
    elif str(err) != str(read.trouble):
        say_error(f"{what}: {err}")
    return err


def _sum_up(read: _Read) -> None:
    counts = read.counts
    bad = sum(counts.values()) - counts[Verdict.GOOD]
    words = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.items()) or "nothing to read"
    what = f"{sum(counts.values()) - read.cubes:,} frames" + (
        f" and {counted(read.cubes, 'cube')}" if read.cubes else ""
    )
    say(f"read back {what} ({size_text(read.size)}): {words}", "red" if bad else "green")
    if read.strange:
        say(f"{counted(read.strange, 'file')} that nobody delivered", "red")


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
    with api.open_ledger(config, reading=True) as ledger:
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
