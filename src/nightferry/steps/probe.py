"""Probe: find out whether an archive is the telescope's own place by another road.

A link, a bind mount, a share that both are on: no comparison of names tells. So a file of a random name is put where
the archive keeps its copies, and looked for at the source.
"""

import contextlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

from nightferry.core.errors import NightferryError, TryAgain
from nightferry.core.names import PROBE
from nightferry.core.store import Entry, Load, Store, StorePath
from nightferry.disk.errors import translated
from nightferry.steps.readback import read_back

#: So many folders of an archive get a probe; one of them is where the first frame lies that is to be deleted.
_MOST = 32
_WORDS = b"nightferry tries this place. This file may be deleted.\n"


def shared_place(
    source: Store, archives: Mapping[str, Store], names: Mapping[str, Sequence[str]], scratch: Path
) -> str:
    """Return why nothing may be deleted at the source: an archive that shows up there, or one that takes no probe.

    ``names`` are those of the frames' copies in each archive, ``scratch`` is a folder of ours. Empty where every probe
    was put and none was seen. Raises `Unreachable` and `Misconfigured` for the source.
    """
    with contextlib.ExitStack() as probes:
        planted: dict[str, str] = {}
        for archive, store in archives.items():
            folders = list(dict.fromkeys(name.rpartition("/")[0] for name in names[archive]))[:_MOST]
            for folder in folders:
                probe = f"{PROBE}{secrets.token_hex(8)}"
                path = StorePath(f"{folder}/{probe}" if folder else probe)
                if trouble := probes.enter_context(_planted(store, path, scratch)):
                    return f"{archive} takes no probe that shows whether it is the source by another road: {trouble}"
                planted[probe] = archive
        for item in source.list():
            name = item.path.rpartition("/")[2] if isinstance(item, Entry) else item.text
            if name in planted:
                where = item.path if isinstance(item, Entry) else f"{item.folder}/{item.text}"
                return (
                    f"the archive {planted[name]} is the telescope's own place by another road: a file put there "
                    f"appears at {source.traits.label} as {where}; nothing is deleted. Have the archive stand elsewhere"
                )
    return ""


def try_archive(store: Store, scratch: Path) -> None:
    """Put a small file into an archive, read it back and take it away again, as a delivery will.

    Raises what keeps that from working.
    """
    path = StorePath(f"{PROBE}{secrets.token_hex(8)}")
    with _planted(store, path, scratch) as trouble:
        if trouble is not None:
            raise trouble
        (found,) = read_back(store, [path])
        if isinstance(found, NightferryError):
            raise found
        if found != blake3(_WORDS).hexdigest():
            raise TryAgain(f"{store.traits.label}: a file that was put there came back with other bytes")


@contextmanager
def _planted(store: Store, path: StorePath, scratch: Path) -> Iterator[NightferryError | None]:
    """Put a probe into a store and take it away at the end; yields what kept it from being put."""
    file = scratch / path.rpartition("/")[2]
    with translated(scratch, "the shelf"):
        scratch.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_WORDS)
    try:
        answer = next(iter(store.put([Load(file, path)])))
    except NightferryError as err:
        answer = err
    try:
        yield answer if isinstance(answer, NightferryError) else None
    finally:
        file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: others have their probes there
            scratch.rmdir()
        with contextlib.suppress(NightferryError):  # one that stays is known by its name, and nobody's frame
            store.remove(path)
