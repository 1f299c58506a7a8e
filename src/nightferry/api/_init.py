"""Init: write a commented configuration, and test its connection; or make one of transfer scripts' credentials."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from nightferry.api._moving import Moved, translated_credentials, write_secret
from nightferry.assemble import telescope_store
from nightferry.config import Config, config_path, load_preset, loads
from nightferry.config.preset import Preset
from nightferry.core.errors import Misconfigured, NightferryError, TryAgain
from nightferry.core.store import Entry
from nightferry.discover import spellings
from nightferry.disk.mounts import is_mounted
from nightferry.stores.folder import local_path
from nightferry.stores.sftp.process import HostKey, UnknownHost, host_keys, pin

_BARE_KEY = re.compile("[A-Za-z0-9_-]+")
_TEMPLATE = """\
# nightferry's configuration. Every key: docs/reference/configuration.md
# Quantities carry units ("60 s", "7 d", "5 GB"); an unknown key is an error that names its line.

[shelf]
# Working files, on the library's own disk so that a finished frame is linked there, not copied.
path = "{shelf}"
# Nothing is pulled that would leave less than this free.
floor = "1 GB"

[telescope.{key}]
# {title}
preset = "{preset}"
source = "{source}"
{login}archives = ["library"]
# Also to be had: "previews" (JPEG, PNG) and "sidecars" (the JSON files that belong to a frame).
take = [{take}]
# A file counts as written when its size and time stay the same for so long.
settle = "{settle}"

# How `nightferry watch` looks: pause between two looks; end (or "alert") after this many empty ones in a row.
[telescope.{key}.watch]
every = "5 min"
# empty = 10
# then = "stop"

# Without this section nothing is ever deleted at the telescope. With it, a frame is, once it has been read
# back from the library, is unchanged at the telescope, and was delivered so long ago.
# [telescope.{key}.clear]
# after = "7 d"

[archive.library]
url = "{library}"
{disk}# Fields: object date time night stem file suffix folder telescope. {{stem}} is unique within object and date.
name = "{template}"
"""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a configuration's first telescope and library are: all that `init` needs to know.

    ``host_key`` is the fingerprint that an SFTP server's key must have, ``known_hosts`` the file of known keys.
    """

    preset: str
    name: str
    source: str
    library: Path
    user: str = ""
    secret: str = ""
    host_key: str = ""
    known_hosts: Path | None = None


@dataclass(frozen=True, slots=True)
class SetUp:
    """The configuration that was written, or would be: its file and its text."""

    file: Path
    text: str


#: Asked whether a server's key, of this address, is the right one.
Agree = Callable[[str, HostKey], bool]
#: Called with what happened, and whether it is good.
Report = Callable[[str, bool], None]


def init(
    setup: Setup,
    place: Path | None = None,
    *,
    test: bool = True,
    dry_run: bool = False,
    agree: Agree = lambda _address, _key: False,
    report: Report = lambda _text, _good: None,
) -> SetUp:
    """Write a configuration at ``place`` (None: the usual one), never over one that is there.

    With ``test`` the connection is tried first, with each spelling of the telescope's root folder that the preset
    knows; what works is kept. The key of an SFTP server that nobody knows is made known, in a file beside the
    configuration, where it has the fingerprint of the setup, or where ``agree`` says that it is the right one. Raises
    `Misconfigured` when something must be mended first; nothing is written then.
    """
    path = config_file(place, dry_run=dry_run)
    folder = path.parent
    preset = load_preset(setup.preset, folder)
    text = config_text(setup, preset)
    if test:
        text = _tested(setup, preset, folder, dry_run=dry_run, agree=agree, report=report)
    loads(text, str(path), folder)  # what we write must be what we read
    if not dry_run:
        try:
            setup.library.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as err:
            raise Misconfigured(f"{err.filename or path} cannot be made: {err.strerror}; nothing was set up") from err
    return SetUp(path, text)


def config_file(place: Path | None = None, *, dry_run: bool = False) -> Path:
    """Return the file that `init` writes; raises `Misconfigured` when it is there already, but for a dry run."""
    path = (place or config_path()).expanduser().absolute()
    if path.exists() and not dry_run:
        raise Misconfigured(f"{path} exists already; edit it, or name another file with --config")
    return path


def move_over(files: Sequence[Path], place: Path | None = None) -> tuple[Path, Moved]:
    """Translate transfer scripts' credentials into a configuration at ``place``; nothing is written yet.

    Return the configuration's file, and what to write and to say. Raises `Misconfigured` for credentials that cannot
    be read or tell of no telescope.
    """
    path = (place or config_path()).expanduser().absolute()
    moved = translated_credentials(files, path.parent)
    loads(moved.text, str(path))  # what we write must be what we read
    return path, moved


def write_moved(path: Path, moved: Moved, written: Callable[[Path], None] = lambda _path: None) -> None:
    """Write secrets and configuration of a move, all of it or nothing; ``written`` is called after each secret."""
    taken = next((file for file in moved.secrets if file.exists()), None)
    if taken is not None:
        raise Misconfigured(f"{taken} exists already; move it away before its telescope is moved over again")
    for file, value in moved.secrets.items():
        write_secret(file, value)
        written(file)
    try:
        with path.open("x", encoding="utf-8") as config:
            config.write(moved.text)
    except OSError as err:
        raise Misconfigured(f"{path} cannot be made: {err.strerror}") from err


def _tested(setup: Setup, preset: Preset, folder: Path, *, dry_run: bool, agree: Agree, report: Report) -> str:
    """Try the connection, with each spelling of the root folder that the preset knows; return the text that works."""
    trouble: NightferryError | None = None
    for source in spellings(setup.source, preset):
        text = config_text(replace(setup, source=source), preset)
        try:
            count = _look(loads(text, "configuration", folder), setup.name)
        except UnknownHost as err:
            known = _pinned(err, setup, folder, dry_run=dry_run, agree=agree, report=report)
            if dry_run:
                report("the connection was not tried: a dry run makes no key known", False)
                return config_text(known, preset)
            return _tested(known, preset, folder, dry_run=dry_run, agree=agree, report=report)
        except (TryAgain, Misconfigured) as err:
            trouble = trouble or err
            if isinstance(err, TryAgain):
                break
            continue
        report(f"reached {source}: {count}", True)
        return text
    raise Misconfigured(
        f"{trouble}\nnothing was written; mend that and try again, or write the configuration untested with --no-test"
    ) from trouble


def _pinned(unknown: UnknownHost, setup: Setup, folder: Path, *, dry_run: bool, agree: Agree, report: Report) -> Setup:
    """Make the key of a host known when it is said to be the right one, in a list beside the configuration."""
    address = unknown.address
    keys = host_keys(address.host, address.port, timeout=address.timeout)
    if not keys or setup.known_hosts is not None:  # it shows none; or it shows another one than a moment ago
        raise Misconfigured(f"{unknown}\nnothing was written") from unknown
    wanted = setup.host_key
    key = next((key for key in keys if key.fingerprint == wanted), keys[0])
    if wanted and key.fingerprint != wanted:
        agree(address.known_as, key)
        raise Misconfigured(
            f"{address.known_as} does not show the host key {wanted}: somebody may be in between, or the server was "
            "set up anew. Ask whoever runs it; nothing was written"
        )
    if not agree(address.known_as, key) and not wanted:
        raise Misconfigured(
            f"the host key of {address.known_as} is not known, and nothing was written. If {key.fingerprint} is what "
            f"whoever runs the server tells you, say: --host-key {key.fingerprint}"
        )
    place = folder / "known_hosts"
    if not dry_run:
        pin(key, place)
        report(f"made known in {place}", True)
    return replace(setup, known_hosts=place)


def config_text(setup: Setup, preset: Preset) -> str:
    """Return the text of a configuration; texts are quoted as TOML asks."""
    library = setup.library.as_posix()
    known_hosts = setup.known_hosts.as_posix() if setup.known_hosts else None
    told = (("user", setup.user), ("secret", setup.secret), ("known_hosts", known_hosts))
    login = "".join(f'{key} = "{_toml(value)}"\n' for key, value in told if value)
    if point := _mount_of(setup.source):
        login += f'# Nothing is looked for while nothing is mounted there.\nmount = "{_toml(point.as_posix())}"\n'
    archive = f"file://{'' if library.startswith('/') else '/'}{quote(library, safe='/:')}"
    disk = ""
    if point := _mount_of(archive):
        disk = f'# Nothing is delivered while nothing is mounted there.\nmount = "{_toml(point.as_posix())}"\n'
    return _TEMPLATE.format(
        key=setup.name if _BARE_KEY.fullmatch(setup.name) else f'"{_toml(setup.name)}"',
        title=preset.title,
        preset=setup.preset,
        source=_toml(setup.source),
        login=login,
        take=", ".join(f'"{kind}"' for kind in preset.take),
        settle=f"{preset.settle:g} s",
        shelf=_toml(f"{library}/.nightferry"),
        library=archive,
        disk=disk,
        template=preset.name,
    )


def _mount_of(source: str) -> Path | None:
    """Return the mount point that a folder is on, if it is one that may well be absent tomorrow."""
    parts = urlsplit(source)
    if parts.scheme != "file":
        return None
    folder = local_path(unquote(parts.path))
    for point in (folder, *folder.parents):
        if is_mounted(point):
            lasting = point == Path(point.anchor) or Path.home().is_relative_to(point)
            return None if lasting else point
    return None


def _toml(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _look(config: Config, name: str) -> str:
    store = telescope_store(config.resolved[name])
    try:
        folders: set[str] = set()
        files = 0
        for item in store.list(_noting(folders)):
            files += isinstance(item, Entry)
            if files >= 1000:  # noqa: PLR2004 - enough to know that it works
                return f"{files:,} files or more"
    finally:
        store.close()
    return f"{files:,} files in {len(folders):,} folders"


def _noting(folders: set[str]) -> Callable[[str], bool]:
    def enter(folder: str) -> bool:
        folders.add(folder)
        return True

    return enter
