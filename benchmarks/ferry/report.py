"""What came of it, as Markdown: the tables, the targets, and what the figures are of."""

import os
import platform
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ferry.contest import Contest


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for: at one kind of work, to be at least ``least`` times as fast as the best of some peers."""

    kind: str
    ours: str
    peers: tuple[str, ...]
    least: float


_RCLONE, _LFTP, _SCRIPT = "rclone copy --transfers 4", ("lftp mirror -P1", "lftp mirror -P4"), "sync_vespera.py"
TARGETS = (
    Target("big", "nightferry run", (_RCLONE,), 1.0),
    Target("big", "nightferry run", _LFTP, 1.4),
    Target("big", "nightferry run", (_SCRIPT,), 3.5),
    Target("small", "nightferry run", (_RCLONE, *_LFTP, _SCRIPT), 1.3),
    Target("many", "nightferry's listing", ("rclone lsf -R --files-only",), 1.0),
)
NOTHING_NEW, NOTHING_NEW_SECONDS, NOTHING_NEW_MEMORY = "nightferry run, nothing new", 3.0, 200e6
PULLING_MEMORY = 120e6
HELP_SECONDS = 0.5
_MEGA = 1_000_000


def tables(contests: Sequence[Contest]) -> Iterator[str]:
    """Write one table for each contest."""
    for contest in contests:
        ours, *_ = contest.runs
        yield f"### {contest.title}"
        yield ""
        rate = "MB/s" if contest.tree.size > _MEGA else "files/s"
        yield f"| | s | range | {rate} | theirs : ours | range | CPU s | peak MB |"
        yield "|---|---|---|---|---|---|---|---|"
        for name, runs in contest.runs.items():
            seconds = [run.seconds for run in runs]
            middle = statistics.median(seconds)
            speed = (contest.tree.bytes / _MEGA if rate == "MB/s" else contest.tree.files) / middle
            found = ratios(contest, ours, name)
            compared = f"{statistics.median(found):.2f}x | {_span(found)}" if name != ours else " | "
            processor = statistics.median(run.processor for run in runs)
            memory = max(run.memory for run in runs) / _MEGA
            yield (
                f"| {name} | {middle:.2f} | {_span(seconds)} | {speed:,.0f} | {compared} | {processor:.2f} | "
                f"{memory:.0f} |"
            )
        yield ""


def deeds(contests: Sequence[Contest]) -> Iterator[str]:
    """Say what each client does beside moving bytes, and what it leaves out."""
    told = {name: deed for contest in contests for name, deed in contest.deeds.items()}
    yield from (f"- {name}: {deed}" for name, deed in told.items())


def ratios(contest: Contest, ours: str, theirs: str) -> list[float]:
    """Tell for each round how many times as long as ours their run took."""
    pairs = zip(contest.runs[ours], contest.runs[theirs], strict=True)
    return [their.seconds / our.seconds for our, their in pairs]


def verdicts(contests: Sequence[Contest]) -> Iterator[str]:
    """Write the table of targets: what was asked, what was reached, and whether that is enough."""
    yield "| | asked | reached | range | |"
    yield "|---|---|---|---|---|"
    for contest in contests:
        for target in TARGETS:
            peers = [peer for peer in target.peers if peer in contest.runs]
            if target.kind != contest.kind or not peers:
                continue
            # the best peer is the one whose median is the shortest
            best = min(peers, key=lambda peer: _middle(contest, peer))
            found = ratios(contest, target.ours, best)
            middle = statistics.median(found)
            yield (
                f"| {contest.title}, against {best} | {target.least:.1f}x | {middle:.2f}x | {_span(found)} | "
                f"{_mark(middle >= target.least)} |"
            )
        yield from _limits(contest)


def _limits(contest: Contest) -> Iterator[str]:
    """Write the lines of what has a limit of its own, whatever peers need."""
    if contest.kind == "many":
        yield _limit(f"{contest.title}: a pass that finds nothing new", contest, NOTHING_NEW, NOTHING_NEW_SECONDS)
        yield _memory_limit(f"{contest.title}: peak memory of that pass", contest, NOTHING_NEW, NOTHING_NEW_MEMORY)
    if contest.kind in {"big", "small"}:
        yield _memory_limit(f"{contest.title}: peak memory", contest, "nightferry run", PULLING_MEMORY)
    if contest.kind == "help":
        yield _limit("`nightferry --help`", contest, "nightferry --help", HELP_SECONDS)


def _limit(text: str, contest: Contest, name: str, limit: float) -> str:
    found = _middle(contest, name)
    span = _span([run.seconds for run in contest.runs[name]])
    return f"| {text} | {limit:g} s | {found:.2f} s | {span} | {_mark(found < limit)} |"


def _memory_limit(text: str, contest: Contest, name: str, limit: float) -> str:
    found = [run.memory / _MEGA for run in contest.runs[name]]
    return f"| {text} | {limit / _MEGA:.0f} MB | {max(found):.0f} MB | | {_mark(max(found) < limit / _MEGA)} |"


def _middle(contest: Contest, name: str) -> float:
    return statistics.median(run.seconds for run in contest.runs[name])


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.2f}-{max(values):.2f}"


def machine() -> str:
    """Say what machine this is."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{os.cpu_count()} cores of {model}, {memory:.0f} GB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def free_memory() -> int:
    """Tell how many bytes of memory can still be had, 0 where the system does not say."""
    told = (line.split() for line in _lines("/proc/meminfo"))
    return next((int(words[1]) * 1024 for words in told if words[0] == "MemAvailable:"), 0)


def kind_of_disk(folder: Path) -> str:
    """Name the file system that a folder is on."""
    best, kind = "", "a disk"
    place = str(folder.resolve())
    for line in _lines("/proc/mounts"):
        _, point, name, *_ = line.split()
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, name
    return kind


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []


def _mark(good: bool) -> str:  # noqa: FBT001 - a verdict
    return "reached" if good else "**missed**"
