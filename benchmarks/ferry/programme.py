"""The programme: which contests there are, on which trees and servers."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ferry import clients, trees
from benchmarks.ferry.clients import Call, Client, Server
from benchmarks.ferry.contest import Contest, carry_once, compete, tell
from benchmarks.ferry.report import free_memory, kind_of_disk
from tests.servers.ftp_daemons import PASSWORD, USER, proftpd, pure_ftpd, vsftpd

PARTS = ("big", "small", "many", "disk", "help")
#: Bytes of all trees and the largest library, with some to spare.
_ROOM = 9_500_000_000
_LAUNCHERS: dict[str, Callable[[Path], AbstractContextManager[int]]] = {
    "vsftpd": vsftpd,
    "pure-ftpd": pure_ftpd,
    "proftpd": proftpd,
}


@dataclass(frozen=True, slots=True)
class Programme:
    """What is to be measured, how often and where."""

    parts: tuple[str, ...]
    servers: tuple[str, ...]
    rounds: int
    quick: bool
    script: Path | None
    folder: Path | None
    disk: Path


def contests(programme: Programme) -> Iterator[Contest]:
    """Run the programme, and yield each contest when it is over."""
    with _folder(programme.folder) as folder, ExitStack() as running:
        served = folder / "served"
        served.mkdir()
        tell("making the frames")
        field = _plant(served, programme)
        servers = [running.enter_context(_server(name, served)) for name in programme.servers]
        disk = kind_of_disk(folder)
        _help(folder, 1)  # from here on all modules are compiled
        for kind in ("big", "small"):
            for server in servers if kind in programme.parts else ():
                tree = field[kind]
                title = f"{tree.text} from {server.name} to {disk}"
                carriers = clients.carriers(programme.script)
                yield compete(
                    Contest(kind, title, tree), server, carriers, place=folder / "place", rounds=programme.rounds
                )
        if "many" in programme.parts:
            yield from _known(programme, field["many"], servers, folder / "known")
        if "disk" in programme.parts:
            yield from _on_disk(programme, field, servers[0])
        if "help" in programme.parts:
            yield _help(folder, programme.rounds)


def _known(programme: Programme, tree: trees.Tree, servers: list[Server], place: Path) -> Iterator[Contest]:
    """Carry very many frames once; then list them, and pass over them, again and again."""
    tell(f"carrying {tree.text} once, so that they are known")
    ours, *_ = clients.carriers(None)
    run = carry_once(servers[0], tree, ours, place)
    tell(f"  that took {run.seconds:.1f} s and {run.memory / 1e6:.0f} MB")
    for server in servers:
        contest = Contest("many", f"Listing {tree.text} at {server.name}", tree)
        yield compete(contest, server, clients.listers(), place=place, rounds=programme.rounds, keeps=True)


def _on_disk(programme: Programme, field: Mapping[str, trees.Tree], server: Server) -> Iterator[Contest]:
    """Carry to a real disk, where durable landing costs something."""
    with _folder(programme.disk) as disk:
        for kind in ("big", "small"):
            title = f"{field[kind].text} from {server.name} to {kind_of_disk(disk)}"
            contest = Contest(f"{kind} on disk", title, field[kind])
            rounds = max(2, programme.rounds - 2)
            yield compete(contest, server, clients.durable_carriers(), place=disk / "place", rounds=rounds)


def _help(folder: Path, rounds: int) -> Contest:
    """Ask for help a few times."""

    def call(server: Server, remote: str, work: Path) -> Call:
        del server, remote, work
        return Call([str(Path(sys.executable).with_name("nightferry")), "--help"])

    nowhere = trees.Tree("help", 1, 0, "help")
    client = Client("nightferry --help", "starts, and tells its commands", call)
    return compete(
        Contest("help", "Help", nowhere),
        Server("none", 0, "", ""),
        [client],
        place=folder / "help",
        rounds=3 * rounds,
        keeps=True,
    )


@contextmanager
def _folder(wish: Path | None) -> Iterator[Path]:
    """Make a folder to work in, in memory where there is room, and remove it in the end."""
    made = Path(tempfile.mkdtemp(prefix="nightferry-bench-", dir=wish or _roomy()))
    made.chmod(0o711)  # servers serve as another user than root
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _roomy() -> Path:
    """Tell where there is room in memory, or else on a disk."""
    memory = Path("/dev/shm")  # noqa: S108 - a fresh folder is made in it
    if memory.is_dir() and min(shutil.disk_usage(memory).free, free_memory()) > _ROOM:
        return memory
    tell("there is no room in memory, so all is on a disk, and its speed will be in every figure")
    return Path(tempfile.gettempdir())


@contextmanager
def _server(name: str, served: Path) -> Iterator[Server]:
    if name not in _LAUNCHERS:
        raise SystemExit(f"--servers: expected {', '.join(_LAUNCHERS)}, not {name!r}")
    with _LAUNCHERS[name](served) as port:
        yield Server(name, port, "anonymous" if name == "vsftpd" else USER, PASSWORD)


def _plant(served: Path, programme: Programme) -> dict[str, trees.Tree]:
    """Make the trees that are needed."""
    wanted, quick = set(programme.parts), programme.quick
    field = {}
    if wanted & {"big", "disk"}:
        field["big"] = trees.big(served, 60 if quick else 200)
    if wanted & {"small", "disk"}:
        field["small"] = trees.small(served, 1000 if quick else 2000)
    if "many" in wanted:
        field["many"] = trees.many(served, 100 if quick else 500, 200)
    return field
