"""One nightferry at a telescope's nights: a lock beside the ledger keeps the others away."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nightferry.core.errors import Busy, Misconfigured


@contextmanager
def locked(lock: Path, telescope: str, wait: float = 0.0) -> Iterator[None]:
    """Keep every other nightferry away from a telescope's nights.

    Raises `Busy` when one is at them and does not end within ``wait`` seconds, `Misconfigured` when the lock cannot be
    made.
    """
    import filelock  # noqa: PLC0415 - brings asyncio, and workers, who import this package, lock nothing

    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = filelock.FileLock(lock, timeout=wait)
        held.acquire()
    except filelock.Timeout as err:
        raise Busy(
            f"another nightferry is carrying the nights of {telescope} ({lock}); wait for it to end, then try again"
        ) from err
    except OSError as err:
        raise Misconfigured(f"the lock {lock} cannot be made: {err}") from err
    try:
        yield
    finally:
        held.release()
