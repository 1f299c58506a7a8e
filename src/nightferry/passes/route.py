"""The route: one telescope's stores and steps, put together and ready to be driven."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nightferry.core.balance import Expectation, stage_name
from nightferry.core.errors import Busy, Misconfigured
from nightferry.core.step import CLEAR, DELIVER, JUDGES, PULL, VERIFY, GroupStep, ProcessingStep
from nightferry.core.store import Store
from nightferry.core.telescope import Telescope
from nightferry.passes.processing import versions_of
from nightferry.steps.clear import Clear
from nightferry.steps.deliver import Deliver
from nightferry.steps.pull import Pull
from nightferry.steps.shelf import Shelf
from nightferry.steps.verify import Verify


@dataclass(frozen=True, slots=True)
class Route:
    """From one telescope to its archives. ``keep`` is how many seconds the shelf keeps what is delivered.

    ``processing`` are the computing steps between verify and deliver, in order; ``pool`` does them, and is let go when
    the route is closed. ``group_step`` makes frames of a whole night's, which are delivered beside them; it waits
    ``deadline`` seconds after the end of a night for frames that are still to come, for ever where that is None.
    ``handover`` names the archives that others take frames away from: a delivery is proven there once, and its absence
    later is no fault. ``may_be_empty`` names those that are not called astray when they hold nothing.
    """

    telescope: Telescope
    source: Store
    shelf: Shelf
    pull: Pull
    verify: Verify
    deliveries: Mapping[str, Deliver]
    lock: Path
    keep: float
    processing: tuple[ProcessingStep, ...] = ()
    group_step: GroupStep | None = None
    deadline: float | None = None
    pool: Executor | None = field(default=None, repr=False)
    may_be_empty: frozenset[str] = frozenset()
    handover: frozenset[str] = frozenset()

    @property
    def expectation(self) -> Expectation:
        """What the route asks of each frame."""
        works = [work.name for work in self.processing]
        versions = {PULL: self.pull.version, VERIFY: self.verify.version}
        chained = dict(zip(works, versions_of(self.processing), strict=True))
        versions |= {name: version.text for name, version in chained.items()}
        versions |= {stage_name(DELIVER, name): step.version for name, step in self.deliveries.items()}
        former = {name: version.former for name, version in chained.items()}
        return Expectation((PULL, VERIFY, *works, DELIVER), tuple(self.deliveries), versions, former)

    @property
    def group_expectation(self) -> Expectation:
        """What the route asks of each frame that it makes of many."""
        if self.group_step is None:
            return Expectation((), ())
        judges = [work for work in self.processing if work.name in JUDGES]
        versions = {self.group_step.name: self.group_step.version} | {judge.name: judge.version for judge in judges}
        former = {self.group_step.name: self.group_step.former} | {judge.name: judge.former for judge in judges}
        versions |= {stage_name(DELIVER, name): step.version for name, step in self.deliveries.items()}
        return Expectation(
            (self.group_step.name, *(judge.name for judge in judges)), tuple(self.deliveries), versions, former
        )

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of all steps, in order."""
        gather = (self.group_step.name,) if self.group_step else ()
        return (PULL, VERIFY, *(work.name for work in self.processing), *gather, DELIVER, CLEAR)

    def clearing(self) -> Clear:
        """Make the step that deletes at the source."""
        archives = {name: step.store for name, step in self.deliveries.items() if name not in self.handover}
        return Clear(self.source, archives, self.shelf.root / self.telescope.name / CLEAR)

    def locked(self) -> AbstractContextManager[None]:
        """Keep every other nightferry away from this telescope's nights; raises `Busy` when one is at them."""
        return locked(self.lock, self.telescope.name)

    def close(self) -> None:
        """Let go of all connections."""
        if self.pool is not None:
            self.pool.shutdown()
        self.source.close()
        for step in self.deliveries.values():
            step.store.close()


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
