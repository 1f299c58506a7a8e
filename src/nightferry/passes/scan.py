"""Scan: list the telescope, compare with the ledger, and sight what is new, changed or gone."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from nightferry.core.balance import Bin
from nightferry.core.errors import Held, TryAgain, Unreachable
from nightferry.core.frame import DOUBTS, FrameId, Role, Sighting
from nightferry.core.instant import read_date_obs
from nightferry.core.layout import Layout, kind_of, sidecar_owner, suffix_of
from nightferry.core.ledger import Account, Known
from nightferry.core.names import is_probe
from nightferry.core.night import Night, NightRule, Nights, clock_behind, instant_at
from nightferry.core.progress import Onlooker
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import RELEASE, SIGHT
from nightferry.core.store import Arrival, Entry, Oddity, Store, StorePath, Want
from nightferry.formats.cards import BLOCK, CARD, END
from nightferry.formats.layout import pick_cards
from nightferry.passes.receipts import noted, now_us
from nightferry.passes.route import Route

_TELL_EVERY = 5000
_ODD = {
    "link": "a link; links are never followed",
    "special": "a device, socket or pipe, not a file",
    "name": "its name could do harm, so nothing under it is read",
    "closed": "it may not be read, so it may hide frames: give nightferry's user the right to read it there",
    "line": "this line of the telescope's listing could not be read, so it may hide a frame",
    "unread": "this folder was not listed whole, so it may hide frames",
    "unknown": "the telescope does not tell whether this is a file or a folder, so it may hide frames",
}
#: Oddities that leave a look in doubt: behind them there may be frames.
_DOUBTFUL = {"closed", "line", "unread", "unknown"}
#: Those of them that are places by themselves, and not lines of a folder.
_PLACES = {"closed", "unread", "unknown"}
#: How the reasons of doubts begin, in ledgers of older versions, too.
_DOUBTFUL_WORDS = (
    "it may not be read, so it may hide frames", "this line of the telescope's listing could not be read",
    _ODD["unread"], _ODD["unknown"],
)  # fmt: skip
#: The path of a doubt about the root itself.
_EVERYWHERE = StorePath(".")
#: What is said of a doubt once a look found its place whole.
_WHOLE_SINCE = "a later look found it whole"
#: What systems put into the root of a disk, and let nobody read.
_OF_THE_SYSTEM = {"lost+found", "System Volume Information", "$RECYCLE.BIN", "FOUND.000", ".Trashes", ".Spotlight-V100"}
#: What sizes and times of files are below; more is what a broken server says.
_SIZES_END, _TIMES_END_US = 1 << 63, 253_402_300_800_000_000
#: Headers longer than this many blocks of 2880 bytes are read no further.
_MOST_BLOCKS = 40
_DATE_OBS = frozenset({b"DATE-OBS= "})


@dataclass(frozen=True, slots=True)
class Scan:
    """What a listing told.

    ``news`` are states of files not sighted before, ``gone`` the receipts of open frames that are no longer there,
    ``held`` the held frames that are, ``newest`` the newest evening with a wanted file, ``odd`` how many entries
    could not be carried at all. ``doubts`` are receipts of what speaks against a frame's night or the telescope's
    clock. ``bare`` says that there was nothing at all, not even a folder. ``unseen`` are the places that may hide
    frames, for they were not listed whole and nobody said that they do not matter.
    Without ``looked`` the listing failed, and tells nothing.
    """

    listed: int
    news: Sequence[Sighting]
    gone: Sequence[Receipt]
    held: Sequence[FrameId]
    newest: date | None
    odd: int
    doubts: Sequence[Receipt] = ()
    bare: bool = False
    unseen: Sequence[StorePath] = ()
    looked: bool = True

    @property
    def complete(self) -> bool:
        """Whether everything was seen that the telescope has."""
        return self.looked and not self.unseen


def scan(route: Route, known: Mapping[StorePath, Known], nights: Nights, onlooker: Onlooker) -> Scan:
    """List the telescope and compare with what is known of it.

    Folders of nights that nobody asked for are not listed. A listing that fails raises, so a file is only ever
    called gone by one that worked, and that showed the whole of the file's folder.
    """
    layout = route.telescope.layout
    open_paths = {path for path, last in known.items() if last.bin in {Bin.PENDING, Bin.FAILED}}
    seen = _Seen(sidecars="sidecars" in layout.take)
    for item in route.source.list(seen.entering(lambda folder: _enters(layout, nights, folder))):
        if isinstance(item, Oddity) or not _is_sane(item):
            seen.odd.append(item if isinstance(item, Oddity) else _absurd(item))
            continue
        if is_probe(item.path.rpartition("/")[2]):
            continue
        seen.take(item, known.get(item.path))
        open_paths.discard(item.path)
        if not seen.listed % _TELL_EVERY:
            onlooker.listed(seen.listed)
    onlooker.listed(seen.listed)
    candidates = [*_exact(route, seen.candidates), *seen.ignored]
    odd = [sighting for sighting, _ in _sight_odd(route, seen.odd)]
    unseen = [one.path for one in odd if one.role in DOUBTS and not one.ignored]
    whole = _whole_since(route, known, nights, odd, unseen)
    seen_now = [
        (sighting, doubt)
        for sighting, doubt in (*_sight(route, candidates, seen.stems, known), *((one, "") for one in (*odd, *whole)))
        if _is_news(sighting, known.get(sighting.path))
    ]
    news = [sighting for sighting, _ in seen_now]
    doubts = [_doubt_receipt(sighting, doubt) for sighting, doubt in seen_now if doubt and not sighting.ignored]
    wanted = [sighting for sighting in news if not sighting.ignored and sighting.role not in DOUBTS]
    newest = max((sighting.night.date for sighting in wanted), default=None)
    gone = [
        gone_receipt(route, known[path].id, Night(route.telescope.name, known[path].evening), path)
        for path in sorted(open_paths)
        if _was_listed(layout, nights, path) and not _hides(unseen, path)
    ]
    open_doubts = [path for path in unseen if not _is_settled(known.get(path))]
    latest = _later(seen.newest, newest)
    return Scan(
        seen.listed, news, gone, seen.held, latest, len(seen.odd), doubts, bare=seen.bare, unseen=open_doubts
    )  # fmt: skip


def _hides(unseen: Sequence[StorePath], path: StorePath) -> bool:
    """Whether a path lies where a look was not whole, so that nobody knows whether it is there."""
    folder = path.rpartition("/")[0]
    return any(
        place in {_EVERYWHERE, path} or path.startswith(f"{place}/") or folder == place.rpartition("/")[0]
        for place in unseen
    )


def _is_settled(last: Known | None) -> bool:
    """Whether a person said of a doubt that it does not matter."""
    return last is not None and last.bin is Bin.IGNORED and last.rule.startswith(_DOUBTFUL_WORDS)


def _whole_since(
    route: Route, known: Mapping[StorePath, Known], nights: Nights, odd: Sequence[Sighting], unseen: Sequence[StorePath]
) -> Iterator[Sighting]:
    """Sight the places again that an earlier look left in doubt and that this one found whole: they are ignored now."""
    layout, seen_us, still = route.telescope.layout, now_us(), {one.path for one in odd}
    for path, last in known.items():
        if last.bin is not Bin.HELD or not last.rule.startswith(_DOUBTFUL_WORDS) or path in still:
            continue
        if _was_listed(layout, nights, path) and _enters(layout, nights, path) and not _hides(unseen, path):
            night = Night(route.telescope.name, last.evening)
            yield Sighting(night, path, last.size, last.mtime_us, seen_us, Role.DOUBT, _WHOLE_SINCE)


class _Seen:
    """What the listing shows, as it comes by: only what may be news is kept."""

    def __init__(self, *, sidecars: bool) -> None:
        self.listed = 0
        self.newest: date | None = None
        self.candidates: list[Entry] = []
        self.ignored: list[Entry] = []
        self.held: list[FrameId] = []
        self.odd: list[Oddity] = []
        self.stems: set[str] | None = set() if sidecars else None
        self._folders = False
        self._now_us = now_us()

    @property
    def bare(self) -> bool:
        return not (self.listed or self.odd or self._folders)

    def entering(self, enter: Callable[[StorePath], bool]) -> Callable[[StorePath], bool]:
        """Note that there are folders, and ask whether to enter them."""

        def ask(folder: StorePath) -> bool:
            self._folders = True
            return enter(folder)

        return ask

    def take(self, entry: Entry, last: Known | None) -> None:
        self.listed += 1
        if self.stems is not None and not entry.path.endswith(".json"):
            self.stems.add(entry.path[: len(entry.path) - len(suffix_of(entry.path.rpartition("/")[2]))])
        if last is None or not entry.agrees_with(last.size, last.mtime_us):
            self.candidates.append(entry)
        elif last.bin is Bin.PENDING and last.seen_us > self._now_us:
            # our clock was ahead when it was sighted: it settles from now on
            self.candidates.append(Entry(entry.path, last.size, last.mtime_us))
        elif last.bin is Bin.IGNORED:
            # what is ignored depends on the configuration, so the rules are asked on every pass
            self.ignored.append(Entry(entry.path, last.size, last.mtime_us))
        else:
            if self.newest is None or last.evening > self.newest:
                self.newest = last.evening
            if last.bin is Bin.HELD:
                self.held.append(last.id)


def _is_sane(entry: Entry) -> bool:
    """Whether size and time can be those of a file: the ledger keeps 64 bits, the calendar ends with the year 9999."""
    return 0 <= entry.size < _SIZES_END and (entry.mtime_us is None or abs(entry.mtime_us) < _TIMES_END_US)


def _absurd(entry: Entry) -> Oddity:
    folder, _, name = entry.path.rpartition("/")
    return Oddity("line", StorePath(folder), f"{name}, {entry.size} bytes, {entry.mtime_us} us since 1970")


def _enters(layout: Layout, nights: Nights, folder: StorePath) -> bool:
    evening = layout.evening_of_folder(folder) if nights.chooses else None
    return evening is None or nights.wants(evening)


def _was_listed(layout: Layout, nights: Nights, path: StorePath) -> bool:
    return _enters(layout, nights, StorePath(path.rpartition("/")[0]))


def _exact(route: Route, candidates: Sequence[Entry]) -> Iterator[Entry]:
    """Ask for exact times where the listing tells only minutes or days.

    A file that the listing shows and the server does not find is one that we heard of: it is told as it was listed.
    """
    if route.source.traits.exact_times:
        yield from candidates
        return
    for listed, entry in zip(candidates, route.source.stat([entry.path for entry in candidates]), strict=True):
        yield listed if entry is None else entry


def _sight(
    route: Route, entries: Sequence[Entry], stems: set[str] | None, known: Mapping[StorePath, Known]
) -> Iterator[tuple[Sighting, str]]:
    """Sight files, each with what speaks against its night or the telescope's clock."""
    seen_us = now_us()
    layout = route.telescope.layout
    starts = start_times(route.source, _undated(layout, entries)) if layout.night is NightRule.HEADER else {}
    for entry in entries:
        place = layout.place(entry.path, entry.mtime_us, seen_us, starts.get(entry.path))
        ignored, doubt = place.ignored, place.doubt
        if place.role is Role.SIDECAR and not ignored and _is_stray(layout, entry.path, stems):
            ignored = "a JSON file that belongs to no frame"
        night = Night(route.telescope.name, place.evening)
        sighting = Sighting(night, entry.path, entry.size, entry.mtime_us, seen_us, place.role, ignored)
        if (last := known.get(entry.path)) is not None:
            if last.id == sighting.id:  # once sighted, a frame keeps its night, whatever rule counts today
                sighting = replace(sighting, night=Night(route.telescope.name, last.evening))
            else:
                doubt = doubt or _behind(entry, last.size, last.seen_us)
        yield sighting, doubt


def _is_stray(layout: Layout, path: StorePath, stems: set[str] | None) -> bool:
    return stems is not None and not layout.is_note(path) and not stems & sidecar_owner(path)


def _undated(layout: Layout, entries: Sequence[Entry]) -> list[Entry]:
    """Choose the files whose header is worth a look: FITS, not packed, and wanted."""
    return [
        entry
        for entry in entries
        if kind_of(entry.path) == "fits"
        and not entry.path.lower().endswith(".gz")
        and not layout.place(entry.path, entry.mtime_us, 0).ignored
    ]


def start_times(store: Store, entries: Sequence[Entry]) -> dict[StorePath, datetime]:
    """Read DATE-OBS of FITS files where they are; those that do not tell it are left out.

    Each file costs a transfer that is given up after its header. Raises `Unreachable`.
    """
    wants = [Want(entry.path, entry.size, entry.mtime_us) for entry in entries if entry.size >= BLOCK]
    return {path: start for path, start in _starts(store.fetch(wants) if wants else ()) if start is not None}


def _starts(arrivals: Iterable[Arrival]) -> Iterator[tuple[StorePath, datetime | None]]:
    for arrival in arrivals:
        try:
            yield arrival.want.path, _start(arrival)
        except Unreachable:
            raise
        except (TryAgain, Held):  # whoever pulls it will hear of that, and write it down
            continue


def _start(arrival: Arrival) -> datetime | None:
    header = bytearray(_MOST_BLOCKS * BLOCK)
    filled = 0
    while filled < len(header):
        count = arrival.read_into(memoryview(header)[filled:])
        if not count:
            break
        filled += count
        if any(header[at : at + CARD] == END for at in range(0, filled - CARD + 1, CARD)):
            break
    return read_date_obs(pick_cards(bytes(header[:filled]), _DATE_OBS).get("DATE-OBS"))


def _behind(entry: Entry, size: int, seen_us: int) -> str:
    """Say that the telescope's clock is behind ours: a file that grew since we saw it bears a time before that."""
    seen = instant_at(seen_us)
    if entry.mtime_us is None or seen is None or entry.size <= size:
        return ""
    return clock_behind(instant_at(entry.mtime_us), seen)


def sight_again(route: Route, changed: Sequence[tuple[Sighting, Entry]]) -> tuple[list[Sighting], list[Receipt]]:
    """Sight files that changed while they were to settle; a frame's night stays where nothing tells another one."""
    before = {sighting.path: sighting for sighting, _ in changed}
    sightings: list[Sighting] = []
    doubts: list[Receipt] = []
    for sighting, told in _sight(route, [entry for _, entry in changed], None, {}):
        last = before[sighting.path]
        entry = Entry(sighting.path, sighting.size, sighting.mtime_us)
        doubt = told or _behind(entry, last.size, last.seen_us)
        sightings.append(replace(sighting, ignored=last.ignored))
        doubts += [_doubt_receipt(sightings[-1], doubt)] if doubt else []
    return sightings, doubts


def _doubt_receipt(sighting: Sighting, doubt: str) -> Receipt:
    """Make the receipt that keeps a doubt for whoever asks why; it stands in no frame's way."""
    return noted(sighting.id, sighting.night, SIGHT, Outcome.DONE, doubt)


def _sight_odd(route: Route, odd: Sequence[Oddity]) -> Iterator[tuple[Sighting, str]]:
    """Sight what cannot be carried, so that the balance shows it: ignored, or held for a person to look at."""
    seen_us = now_us()
    for oddity in odd:
        path = _path_of(oddity)
        place = route.telescope.layout.place(path, None, seen_us)
        harmless = (
            oddity.kind in {"link", "special"}
            or (oddity.kind == "name" and place.ignored)
            or (oddity.kind == "closed" and oddity.text in _OF_THE_SYSTEM)
        )
        told = route.telescope.layout.evening_of_folder(path if oddity.kind in _PLACES else oddity.folder)
        night = Night(route.telescope.name, told or place.evening)
        reason = f"{_ODD[oddity.kind]}: {oddity.text!r}"
        role = place.role
        if oddity.kind in _DOUBTFUL and not harmless:
            role = Role.DOUBT if told else Role.DOUBT_ALL
            harmless = bool(rule := route.telescope.layout.rule_against(path))
            reason = rule or reason
        yield Sighting(night, path, 0, None, seen_us, role, *((reason, "") if harmless else ("", reason))), ""


def _path_of(oddity: Oddity) -> StorePath:
    """Return what an oddity is known by: a folder that was not listed whole by its own path, all else by its name."""
    if oddity.kind == "unread":
        return oddity.folder or _EVERYWHERE
    return StorePath(f"{oddity.folder}/{oddity.text}" if oddity.folder else oddity.text)


def _is_news(sighting: Sighting, last: Known | None) -> bool:
    if last is None or sighting.id != last.id:
        return True
    return (sighting.ignored or sighting.refused) != last.rule or sighting.seen_us < last.seen_us


def _later(one: date | None, other: date | None) -> date | None:
    return max(one, other) if one and other else one or other


def gone_receipt(route: Route, frame: FrameId, night: Night, path: StorePath) -> Receipt:
    """Make the receipt of a frame that vanished from the telescope before it was pulled."""
    reason = (
        f"{path} is no longer at the telescope and was never pulled; if it is not wanted, drop it with: "
        "nightferry release FRAME --drop --why TEXT"
    )
    step = route.pull
    return noted(frame, night, step.name, Outcome.HELD, reason, version=step.version, proof={"gone": True})


def back_receipt(route: Route, account: Account) -> Receipt | None:
    """Make the receipt that opens a frame again that was held because it was gone; None for any other."""
    last = account.receipts[-1] if account.receipts else None
    if last is None or last.step != route.pull.name or not last.proof.get("gone"):
        return None
    sighting = account.sighting
    return noted(sighting.id, sighting.night, RELEASE, Outcome.DONE, "the telescope shows it again")
