"""``audit``: read back what was delivered."""

import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated

import typer

from nightferry import api
from nightferry.cli.exits import DONE, FAILED, HELD, code_of, say_error
from nightferry.cli.options import JsonOption, NightOption, quantity
from nightferry.cli.show import say, say_json
from nightferry.core.display import counted, size_text
from nightferry.core.errors import Misconfigured, NightferryError


def audit(
    context: typer.Context,
    telescope: Annotated[str | None, typer.Argument(help="A telescope's name; all when none is given.")] = None,
    night: NightOption = None,
    sample: Annotated[str, typer.Option(help="The share of frames to read, e.g. 5%.")] = "100%",
    as_json: JsonOption = False,
) -> None:
    """Read back what was delivered and compare it with the ledger."""
    from nightferry.cli.progress import progress
    from nightferry.config.units import percent

    config = api.load(context.obj)
    share = quantity(percent, sample, "--sample")
    nights = night or ["all"]
    api.evenings_of(nights)  # a slip of the keyboard is nobody else's affair
    read = _Read()
    with api.open_ledger(config) as ledger, progress(quiet=True) as shown:
        chosen = api.telescope_names(config, [telescope] if telescope else [])
        hands = api.Hands(shown, threading.Event())
        for one in api.audit_each(config, ledger, chosen, nights, sample=share, hands=hands, note=shown.note):
            _take(read, one, as_json=as_json)
    if not as_json:
        _sum_up(read)
    if read.trouble is not None:
        say_error(str(read.trouble))
    sys.exit(_code(read))


@dataclass(slots=True)
class _Read:
    """What was read back: verdicts, bytes, how many of it were cubes, strangers, and the first trouble on the way."""

    counts: Counter["api.Verdict"] = field(default_factory=Counter)
    size: int = 0
    cubes: int = 0
    strange: int = 0
    trouble: NightferryError | None = None


def _take(read: _Read, found: "api.Finding | api.Stranger | api.AuditTrouble", *, as_json: bool) -> None:
    """Count and print one thing that an audit found."""
    if isinstance(found, api.Finding):
        read.counts[found.verdict] += 1
        read.size += found.proof.size
        read.cubes += found.proof.product
        _show_finding(found, as_json=as_json)
    elif isinstance(found, api.Stranger):
        read.strange += 1
        _show_stranger(found, as_json=as_json)
    elif read.trouble is None:  # the first one is kept for the end
        read.trouble = found.error
    elif str(found.error) != str(read.trouble):
        say_error(f"{found.what}: {found.error}")


def _code(read: _Read) -> int:
    """Return the exit code: misconfigured, then what needs a person, then the rest."""
    if isinstance(read.trouble, Misconfigured):
        return code_of(read.trouble)
    if read.counts[api.Verdict.DAMAGED] or read.counts[api.Verdict.MISSING] or read.strange:
        return HELD
    return FAILED if read.trouble is not None or read.counts[api.Verdict.UNREADABLE] else DONE


def _sum_up(read: _Read) -> None:
    counts = read.counts
    bad = sum(counts.values()) - counts[api.Verdict.GOOD]
    words = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.items()) or "nothing to read"
    what = f"{sum(counts.values()) - read.cubes:,} frames" + (
        f" and {counted(read.cubes, 'cube')}" if read.cubes else ""
    )
    say(f"read back {what} ({size_text(read.size)}): {words}", "red" if bad else "green")
    if read.strange:
        say(f"{counted(read.strange, 'file')} that nobody delivered", "red")


def _show_stranger(stranger: "api.Stranger", *, as_json: bool) -> None:
    if as_json:
        verdict, reason = str(api.Verdict.FOREIGN), stranger.reason
        empty = {"telescope": "", "night": "", "frame": ""}
        say_json({**empty, "archive": stranger.archive, "name": stranger.name, "verdict": verdict, "reason": reason})
    else:
        say(f"{api.Verdict.FOREIGN}: {stranger.reason}", "red")


def _show_finding(finding: "api.Finding", *, as_json: bool) -> None:
    if as_json:
        proof = finding.proof
        say_json(
            {
                "telescope": proof.night.telescope,
                "night": proof.night.date.isoformat(),
                "archive": finding.archive,
                "name": proof.name,
                "frame": proof.path,
                "verdict": str(finding.verdict),
                "reason": finding.reason,
            }
        )
    elif finding.verdict is not api.Verdict.GOOD:
        say(f"{finding.verdict}: {finding.reason}", "red")
