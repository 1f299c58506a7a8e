"""Conditions: what is worth an alert, decided from facts alone.

"The telescope cannot be reached", "nothing was observed" and "observed, but nothing arrived" are three different
answers, and only the second is quiet.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nightferry.core.alert import Condition
from nightferry.core.balance import Balance, Bin
from nightferry.core.display import counted
from nightferry.core.overview import Contact, NightLine, Reason
from nightferry.core.step import DELIVER, LIST

#: Fewer held frames than this are a matter for the digest, whatever share of a short night they are.
FEWEST_HELD = 3
_BUG = "a bug in nightferry"


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on people are told: the share of held frames, and how long trouble must last, in seconds."""

    held: float
    patience: float


@dataclass(frozen=True, slots=True)
class NightFacts:
    """A night as the sun and the ledger have it; ``over`` is whether its frames should all be here by now.

    ``begun_us`` and ``ended_us`` are when it began and ended, ``dark`` whether the sun went down at all; None where no
    site tells.
    """

    line: NightLine
    over: bool
    begun_us: int = 0
    ended_us: int = 0
    dark: bool | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """A telescope, as far as alerts depend on it.

    ``dark`` is whether the sun is down there now, None where no site tells; ``refused`` whether its store was there
    before and is not what it was (a mount that is gone, a login that is refused); ``waiting`` how many known frames
    are still to be fetched from it. ``older`` are the nights before ``nights`` in which something is held or failed.
    """

    contact: Contact
    nights: Sequence[NightFacts]
    dark: bool | None
    refused: bool = False
    waiting: int = 0
    older: Sequence[NightLine] = ()


def conditions_of(telescopes: Sequence[Facts], room: int | None, wanted: int, limits: Limits) -> list[Condition]:
    """Look at everything.

    ``room`` is what the shelf may still take (None: unknown) and ``wanted`` what a night takes, in bytes.
    """
    found = [condition for facts in telescopes for condition in _of_telescope(facts, limits)]
    found += _of_archives(telescopes, limits)
    found.append(_of_disk(room, wanted))
    return found


def _of_telescope(facts: Facts, limits: Limits) -> Iterator[Condition]:
    yield _unreachable(facts, limits)
    for night in facts.nights:
        yield from _of_line(night.line, limits)
        if night.over:
            yield _silence(night.line, limits)
    for line in facts.older:
        yield from _of_line(line, limits)
    yield _not_whole(facts, limits)


def _not_whole(facts: Facts, limits: Limits) -> Condition:
    """Judge looks that did not show everything: behind them there may be frames that nobody counts."""
    lines = [night.line for night in facts.nights if not night.line.balance.complete]
    reasons = dict.fromkeys(one.reason for line in lines for one in line.reasons if one.stage == LIST)
    name = facts.contact.telescope
    return Condition(
        f"unseen/{name}",
        bool(lines),
        f"{name} was not seen whole",
        "\n".join(
            [*reasons, "It may hide frames, so its nights are not closed.", f"To see where: nightferry held {name}"]
        ),
        limits.patience,
    )


def _unreachable(facts: Facts, limits: Limits) -> Condition:
    """Judge silence: a telescope that is off by day is well; one in the dark, or with frames for us, loses time."""
    contact = facts.contact
    key = f"unreachable/{contact.telescope}"
    if not contact.trouble:
        return Condition(key, active=False)
    missed = any(night.over and night.dark and contact.reached_us < night.begun_us for night in facts.nights)
    why = next(
        (
            why
            for why, so in (
                ("it was there before", facts.refused),
                ("it is night there", facts.dark),
                (f"{facts.waiting:,} frames are still there", facts.waiting),
                ("nobody knows whether the night was observed", missed),
            )
            if so
        ),
        "",
    )
    title = f"{contact.telescope} cannot be reached"
    body = f"{contact.trouble}\nIt matters, for {why}. Carrying goes on by itself as soon as it answers."
    return Condition(key, True if why else None, title, body, 0 if facts.refused else limits.patience)


def _of_line(line: NightLine, limits: Limits) -> Iterator[Condition]:
    """Judge what is held of a night."""
    balance = line.balance
    name, evening = balance.night.telescope, balance.night.date
    held = [one for one in line.reasons if one.bin is Bin.HELD]
    yield Condition(
        f"held/{name}/{evening}",
        _are_many(balance, limits),
        f"{name}: {balance.held:,} of {balance.seen - balance.ignored:,} frames of {evening} are held",
        "\n".join(f"{one.frames:,} at {one.stage}: {one.reason}" for one in held)
        + f"\nTo see them: nightferry held {name}",
    )
    bugs = [one for one in held if one.reason.startswith(_BUG)]
    yield Condition(
        f"bug/{name}/{evening}",
        bool(bugs),
        f"{name}: a bug in nightferry stopped {sum(one.frames for one in bugs):,} frames of {evening}",
        "\n".join(one.reason for one in bugs) + "\nThe traceback stands in: nightferry why FRAME",
    )
    yield _of_cubes(line, limits)


def _are_many(balance: Balance, limits: Limits) -> bool:
    return balance.held >= FEWEST_HELD and balance.held > limits.held * (balance.seen - balance.ignored)


def _silence(line: NightLine, limits: Limits) -> Condition:
    """Judge a night that is over, and of which nothing arrived."""
    balance = line.balance
    name, evening = balance.night.telescope, balance.night.date
    taken = balance.seen - balance.ignored
    return Condition(
        f"silent/{name}/{evening}",
        bool(taken) and not balance.delivered and not _are_many(balance, limits),
        f"{name}: observed on {evening}, but nothing arrived",
        f"The telescope shows {taken:,} frames of the night, and none of them is delivered: {balance.held:,} held, "
        f"{balance.failed:,} failed, {balance.pending:,} pending.\nTo see why: nightferry night {name} {evening}",
    )


def _of_cubes(line: NightLine, limits: Limits) -> Condition:
    """Judge a night's cubes: one stands for many frames, so one that is held is told at once.

    A delivery that fails is the archive's affair.
    """
    name, evening = line.balance.night.telescope, line.balance.night.date
    bad = [one for one in line.products.reasons if one.bin is Bin.HELD or not _archive_of(one)]
    held = sum(one.frames for one in bad if one.bin is Bin.HELD)
    failed = sum(one.frames for one in bad) - held
    words = [f"{counted(count, 'cube')} of {evening} {verb}" for count, verb in _cube_words(held, failed) if count]
    return Condition(
        f"cubes/{name}/{evening}",
        bool(bad),
        f"{name}: {' and '.join(words)}",
        "\n".join(f"{one.frames:,} {one.bin} at {one.stage}: {one.reason}" for one in bad)
        + f"\nTo see them: nightferry night {name} {evening}",
        0 if held else limits.patience,
    )


def _cube_words(held: int, failed: int) -> list[tuple[int, str]]:
    return [(held, "is held" if held == 1 else "are held"), (failed, "cannot be made")]


def _archive_of(reason: Reason) -> str:
    """Return the archive whose delivery this is about; empty for other steps."""
    word, _, archive = reason.stage.partition(" to ")
    return archive if word == DELIVER else ""


def _of_archives(telescopes: Sequence[Facts], limits: Limits) -> Iterator[Condition]:
    """Frames and cubes that fail at a delivery mean an archive that is out of reach, full, or refuses us."""
    failing: dict[str, tuple[list[Reason], list[Reason]]] = {}
    for facts in telescopes:
        for line in (*(night.line for night in facts.nights), *facts.older):
            for place, reasons in enumerate((line.reasons, line.products.reasons)):
                for one in reasons:
                    if one.bin is Bin.FAILED and (archive := _archive_of(one)):
                        failing.setdefault(archive, ([], []))[place].append(one)
    for archive, (frames, cubes) in failing.items():
        told = dict.fromkeys(one.reason for one in (*frames, *cubes))
        body = "\n".join([*told, "They are tried again by themselves."])
        counts = (sum(one.frames for one in frames), "frame"), (sum(one.frames for one in cubes), "cube")
        waiting = " and ".join(counted(count, what) for count, what in counts if count)
        verb = "waits" if sum(count for count, _ in counts) == 1 else "wait"
        title = f"archive {archive} takes nothing: {waiting} {verb}"
        yield Condition(f"archive/{archive}", True, title, body, limits.patience)


def _of_disk(room: int | None, wanted: int) -> Condition:
    if room is None:
        return Condition("disk/shelf", None)
    return Condition(
        "disk/shelf",
        room <= max(wanted, 0),
        "the shelf's disk is filling",
        f"{max(room, 0) / 1e9:.1f} GB may still be pulled until its floor (shelf.floor); a night like the last ones "
        f"takes {wanted / 1e9:.1f} GB. Frames that are on the shelf are still delivered; free some space.",
    )
