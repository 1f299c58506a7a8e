"""Discover: which telescopes that presets know answer, or lie on a mounted disk, here and now.

Only addresses, names and folders that presets tell are tried, and the hosts of a range that somebody gives.
"""

import ipaddress
import os
import queue
import socket
import string
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from nightferry.assemble import make_store
from nightferry.config import TelescopeConfig, load_preset, preset_names
from nightferry.config.preset import Preset
from nightferry.core.errors import Misconfigured, NightferryError, TryAgain
from nightferry.core.store import Entry, StorePath
from nightferry.stores.kinds import kind_of

#: A look at a telescope ends after this many files, or at this depth of folders.
_ENOUGH, _DEEPEST = 300, 6
#: Hosts that are tried side by side, and the largest range.
_SIDE_BY_SIDE, _MOST_HOSTS = 64, 4096


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where a telescope of a preset may be; ``known`` says that the preset itself names it."""

    preset: str
    url: str
    known: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """A place that answered: how many files a short look showed, and how many of them the preset's rules know.

    ``also`` names other presets that fit as well; ``trouble`` says why it could not be looked into.
    """

    preset: str
    url: str
    files: int = 0
    fitting: int = 0
    also: tuple[str, ...] = ()
    trouble: str = ""


def discover(
    chosen: Sequence[str] = (),
    *,
    hosts: str = "",
    folders: Sequence[Path] = (),
    timeout: float = 1.5,
    beside: Path | None = None,
) -> list[Found]:
    """Look for the telescopes of presets (all, when none is chosen), and tell those that are there.

    ``hosts`` is a range such as ``192.168.1.0/24`` or one address, ``folders`` are looked into beside the mounted
    disks, ``timeout`` (seconds) is for each connection, ``beside`` the configuration's folder.
    """
    presets = {name: load_preset(name, beside) for name in (chosen or preset_names(beside))}
    network = [*_addresses(presets), *_in_range(presets, hosts)]
    work: list[Callable[[], list[Found]]] = [
        lambda group=group: _ask_host(group, presets, timeout)  # type: ignore[misc] # mypy cannot type a bound default
        for group in _by_host(network)
    ]
    places = dict.fromkeys(_folders(presets, [*mount_points(), *folders]))
    work += [lambda place=place: _look(place, presets[place.preset], timeout) for place in places]  # type: ignore[misc] # as above
    rounds = 1 + len(work) // _SIDE_BY_SIDE
    found = [one for answer in _side_by_side(work, 10 + 8 * timeout * rounds) for one in answer]
    return _best(found, presets)


def spellings(source: str, preset: Preset) -> Iterator[str]:
    """Give a URL as it is, then with each spelling of its root folder that the preset knows."""
    yield source
    parts = urlsplit(source)
    if parts.path.strip("/") in preset.roots:
        for root in preset.roots:
            if root != parts.path.strip("/"):
                yield parts._replace(path=f"/{root}").geturl()


def mount_points() -> list[Path]:
    """List the disks and shares that are mounted where people find them."""
    if sys.platform == "win32":
        drives = [Path(f"{letter}:/") for letter in string.ascii_uppercase]
        return [drive for drive in drives if drive.exists()]
    if sys.platform == "darwin":
        return _below(Path("/Volumes"), 1)
    shares = Path(f"/run/user/{os.getuid()}/gvfs")
    return [*_below(Path("/media"), 2), *_below(Path("/run/media"), 2), *_below(Path("/mnt"), 1), *_below(shares, 1)]


def _below(folder: Path, depth: int) -> list[Path]:
    if not depth:
        return [folder]
    try:
        below = [item for item in sorted(folder.iterdir()) if item.is_dir()]
    except OSError:  # not there, or not ours to see
        return []
    return [*below, *(deeper for item in below for deeper in _below(item, depth - 1) if deeper != item)]


def _addresses(presets: dict[str, Preset]) -> Iterator[Candidate]:
    for name, preset in presets.items():
        for url in dict.fromkeys(filter(None, (preset.source, *preset.discover.urls))):
            if _port(url):
                yield from (Candidate(name, spelling) for spelling in spellings(url, preset))


def _in_range(presets: dict[str, Preset], hosts: str) -> Iterator[Candidate]:
    if not hosts:
        return
    try:
        network = ipaddress.ip_network(hosts, strict=False)
    except ValueError as err:
        raise Misconfigured(f"--range {hosts!r}: expected addresses such as 192.168.1.0/24 ({err})") from err
    if network.num_addresses > _MOST_HOSTS:
        raise Misconfigured(f"--range {hosts}: that is {network.num_addresses:,} hosts; name {_MOST_HOSTS:,} at most")
    known = list(_addresses(presets))
    for host in network.hosts():
        for candidate in known:
            parts = urlsplit(candidate.url)
            user = f"{parts.username}@" if parts.username else ""
            port = f":{parts.port}" if parts.port else ""
            name = f"[{host}]" if host.version == 6 else str(host)  # noqa: PLR2004 - brackets are for IPv6
            yield Candidate(candidate.preset, parts._replace(netloc=f"{user}{name}{port}").geturl(), known=False)


def _port(url: str) -> int:
    """Return the port that a URL's server listens at; 0 for a store without one, such as a folder."""
    parts = urlsplit(url)
    kind = kind_of(parts.scheme)
    return 0 if kind is None or kind.port is None else parts.port or kind.port


def _by_host(candidates: Iterable[Candidate]) -> list[list[Candidate]]:
    groups: dict[tuple[str, int], dict[Candidate, None]] = {}
    for candidate in candidates:
        parts = urlsplit(candidate.url)
        groups.setdefault((parts.hostname or "", _port(candidate.url)), {})[candidate] = None
    return [list(group) for group in groups.values()]


def _ask_host(group: Sequence[Candidate], presets: dict[str, Preset], timeout: float) -> list[Found]:
    """Look into one host for all presets that may be there; nothing when it does not answer."""
    parts = urlsplit(group[0].url)
    try:
        with socket.create_connection((parts.hostname or "", _port(group[0].url)), timeout):
            pass
    except (OSError, UnicodeError):  # nobody there, or no such name
        return []
    found: list[Found] = []
    for name in dict.fromkeys(candidate.preset for candidate in group):
        answers = [
            answer
            for candidate in group
            if candidate.preset == name
            for answer in _look(candidate, presets[name], timeout)
        ]
        good = [answer for answer in answers if not answer.trouble]
        found += good[:1] or answers[:1]
    return found


def _look(candidate: Candidate, preset: Preset, timeout: float) -> list[Found]:
    """Look into one place; nothing where there is no such telescope."""
    parts = urlsplit(candidate.url)
    layout = preset.as_layout(None, None)
    files = fitting = 0
    try:
        section = TelescopeConfig.model_validate(
            {
                "source": candidate.url,
                "archives": ["library"],
                "user": unquote(urlsplit(candidate.url).username or "") or preset.user,
                "timeout": f"{max(timeout, 1.0):g} s",
                "connections": 1,
            }
        )
        store = make_store(section, candidate.url)
        try:
            for item in store.list(_not_deep):
                files += isinstance(item, Entry)
                fitting += isinstance(item, Entry) and layout.knows(item.path)
                if files >= _ENOUGH:
                    break
        finally:
            store.close()
    except ValidationError:
        return _in_doubt(candidate, f"this nightferry does not speak {parts.scheme}://")
    except TryAgain:  # something took the connection and then said nothing that we know
        return []
    except NightferryError as err:
        return _in_doubt(candidate, str(err))
    named = parts.path.strip("/").rpartition("/")[2] in {*preset.roots} - {""} and parts.scheme != "file"
    return [Found(candidate.preset, candidate.url, files, fitting)] if fitting or named else []


def _in_doubt(candidate: Candidate, trouble: str) -> list[Found]:
    """Report what answered and could not be looked into, where a preset knows the address."""
    if not candidate.known or urlsplit(candidate.url).scheme == "file":
        return []
    return [Found(candidate.preset, candidate.url, trouble=trouble)]


def _not_deep(folder: StorePath) -> bool:
    return folder.count("/") < _DEEPEST


def _folders(presets: dict[str, Preset], mounts: Sequence[Path]) -> Iterator[Candidate]:
    for name, preset in presets.items():
        for mount in mounts:
            for pattern in preset.discover.folders:
                yield from _globbed(name, mount, pattern)
        for home in preset.discover.home:
            yield from _globbed(name, Path.home(), home)


def _globbed(name: str, folder: Path, pattern: str) -> Iterator[Candidate]:
    try:
        places = sorted(place for place in folder.glob(pattern) if place.is_dir())
    except OSError:  # a share that went away
        return
    for place in places:
        yield Candidate(name, place.absolute().as_uri())


def _best(found: Iterable[Found], presets: dict[str, Preset]) -> list[Found]:
    """Keep, of several presets that fit one place, the one that fits best; of equals the one that others extend."""
    places: dict[str, list[Found]] = {}
    for one in found:
        places.setdefault(one.url, []).append(one)
    best: list[Found] = []
    for url, answers in places.items():
        answers.sort(key=lambda one: (bool(one.trouble), -one.fitting, presets[one.preset].extends or "", one.preset))
        first = answers[0]
        also = tuple(one.preset for one in answers[1:] if (one.fitting, one.trouble) == (first.fitting, first.trouble))
        best.append(Found(first.preset, url, first.files, first.fitting, also, first.trouble))
    return sorted(best, key=lambda one: (bool(one.trouble), one.preset, one.url))


def _side_by_side(work: Sequence[Callable[[], list[Found]]], patience: float) -> Iterator[list[Found]]:
    """Do pieces of work in threads that nobody waits for at the end: a name server may let us wait for long."""
    waiting: queue.SimpleQueue[Callable[[], list[Found]]] = queue.SimpleQueue()
    answers: queue.SimpleQueue[list[Found]] = queue.SimpleQueue()
    for piece in work:
        waiting.put(piece)

    def labour() -> None:
        while True:
            try:
                piece = waiting.get_nowait()
            except queue.Empty:
                return
            answers.put(piece())

    for number in range(min(_SIDE_BY_SIDE, len(work))):
        threading.Thread(target=labour, name=f"discover-{number}", daemon=True).start()
    limit = time.monotonic() + patience
    for _ in work:
        try:
            yield answers.get(timeout=max(0.0, limit - time.monotonic()))
        except queue.Empty:
            return
