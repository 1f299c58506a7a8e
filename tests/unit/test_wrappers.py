import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from nightferry.core.store import Entry, Store, StorePath, Want
from nightferry.stores.memory import MemoryStore
from nightferry.stores.wrappers import limited
from nightferry.testing.conform_memory import MemoryStage
from nightferry.testing.conform_stage import close_iterator, generated, want_for
from nightferry.testing.conformance import StoreConformance


class LimitedStage(MemoryStage):
    """The memory stage seen through the wrapper, with room for one call at a time."""

    def store(self) -> Store:
        return limited(super().store(), 1, host=f"stage {id(self)}")


class TestLimitedStore(StoreConformance):
    faults = LimitedStage.FAULTS

    @pytest.fixture
    def stage(self) -> LimitedStage:
        return LimitedStage()


@dataclass
class CountedStore(MemoryStore):
    """A memory store whose removals count how many of them run at once, and wait until they are let go."""

    running: list[StorePath] = field(default_factory=list)
    most: int = 0
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    let_go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        super().__init__()

    def remove(self, path: StorePath) -> None:
        with self.lock:
            self.running.append(path)
            self.most = max(self.most, len(self.running))
        self.entered.release()
        self.let_go.acquire()
        with self.lock:
            self.running.remove(path)


def run_removals(counted: CountedStore, stores: list[Store], at_once: int) -> int:
    """Start one removal on each store, see ``at_once`` of them enter, let all go; tells the most that ran at once."""
    with ThreadPoolExecutor(len(stores)) as pool:
        calls = [pool.submit(store.remove, StorePath(f"{n}.fits")) for n, store in enumerate(stores)]
        for _ in range(at_once):
            assert counted.entered.acquire(timeout=300)
        # a call too many would enter now, if the gate let it
        assert not counted.entered.acquire(timeout=0.1)
        for _ in stores:
            counted.let_go.release()
        for call in calls:
            call.result(timeout=300)
    return counted.most


def test_no_more_calls_than_the_limit_run_at_once() -> None:
    counted = CountedStore()
    store = limited(counted, 2, host="one store")
    assert run_removals(counted, [store] * 6, at_once=2) == 2


def test_stores_of_one_host_share_its_limit() -> None:
    counted = CountedStore()
    stores = [limited(counted, 3, host="shared") for _ in range(6)]
    assert run_removals(counted, stores, at_once=3) == 3


def test_stores_of_other_hosts_do_not_wait_for_each_other() -> None:
    counted = CountedStore()
    stores = [limited(counted, 1, host=f"host {n}") for n in range(4)]
    assert run_removals(counted, stores, at_once=4) == 4


def test_each_store_keeps_to_its_own_limit_on_a_shared_host() -> None:
    shy, bold = limited(MemoryStore(), 1, host="both"), limited(MemoryStore(), 2, host="both")
    stage = MemoryStage()
    stage.plant(b"a.fits", b"x")
    busy = limited(stage.store(), 2, host="both")
    listing = busy.list()
    next(listing)  # one call runs on the host: room for the bold one, none for the shy one
    assert list(bold.list()) == []
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: list(shy.list()))
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.1)
        close_iterator(listing)
        assert waiting.result(timeout=300) == []


def test_the_traits_tell_no_more_connections_than_the_limit() -> None:
    store = MemoryStore()
    assert limited(store, 2, host="a").traits.connections == 2
    assert limited(store, 99, host="b").traits.connections == store.traits.connections
    assert limited(store, 2, host="c").traits.label == store.traits.label


def test_a_store_that_could_never_run_is_refused() -> None:
    with pytest.raises(ValueError, match="one call at least"):
        limited(MemoryStore(), 0)


def calls_of(store: Store) -> list[Callable[[], Iterator[object]]]:
    want = Want(StorePath("a.fits"), 5000)
    return [store.list, lambda: store.stat([want.path]), lambda: store.fetch([want, want])]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_an_iterator_holds_its_place_until_it_is_closed(which: int) -> None:
    stage = MemoryStage()
    stage.plant(b"a.fits", generated(5000))
    store = limited(stage.store(), 1, host=f"held {which}")
    running = calls_of(store)[which]()
    next(running)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: [item.path for item in store.list() if isinstance(item, Entry)])
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.1)
        close_iterator(running)
        assert waiting.result(timeout=300) == ["a.fits"]


def test_a_thread_that_would_wait_for_itself_is_told_so() -> None:
    stage = MemoryStage()
    stage.plant(b"a.fits", b"x")
    store = limited(stage.store(), 1, host="itself")
    listing = store.list()
    next(listing)
    with pytest.raises(RuntimeError, match="wait for itself"):
        want_for(store, b"a.fits")
    close_iterator(listing)
    assert want_for(store, b"a.fits").size == 1
