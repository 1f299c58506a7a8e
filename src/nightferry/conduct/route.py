"""The route: one telescope's stores and steps, put together and ready to be driven."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from nightferry.core.balance import Expectation, stage_name
from nightferry.core.errors import Busy, Misconfigured
from nightferry.core.store import Store
from nightferry.core.telescope import Telescope
from nightferry.steps.clear import Clear
from nightferry.steps.deliver import Deliver
from nightferry.steps.pull import Pull
from nightferry.steps.shelf import Shelf
from nightferry.steps.verify import Verify


@dataclass(frozen=True, slots=True)
class Route:
    """From one telescope to its archives. ``keep`` is how many seconds the shelf keeps what is delivered."""

    telescope: Telescope
    source: Store
    shelf: Shelf
    pull: Pull
    verify: Verify
    deliveries: Mapping[str, Deliver]
    lock: Path
    keep: float

    @property
    def expectation(self) -> Expectation:
        """What the route asks of each frame."""
        versions = {"pull": self.pull.version, "verify": self.verify.version}
        versions |= {stage_name("deliver", name): step.version for name, step in self.deliveries.items()}
        return Expectation(("pull", "verify", "deliver"), tuple(self.deliveries), versions)

    def clearing(self) -> Clear:
        """Make the step that deletes at the source."""
        return Clear(self.source, {name: step.store for name, step in self.deliveries.items()})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other nightferry away from this telescope's nights; raise `Busy` when one is at them."""
        try:
            self.lock.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.lock, timeout=0)
            lock.acquire()
        except filelock.Timeout as err:
            raise Busy(
                f"another nightferry is carrying the nights of {self.telescope.name} ({self.lock}); "
                "wait for it to end, then try again"
            ) from err
        except OSError as err:
            raise Misconfigured(f"the lock {self.lock} cannot be made: {err}") from err
        try:
            yield
        finally:
            lock.release()

    def close(self) -> None:
        """Let go of all connections."""
        self.source.close()
        for step in self.deliveries.values():
            step.store.close()


def now_us() -> int:
    """Tell the time in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000
