"""Sessions of a store: which are used again, and which are ended."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

import pytest

from nightferry.core.errors import Gone
from nightferry.stores.kit.sessions import Cut, Garbled, Lease, Pool, Silence


@dataclass
class Told:
    """A session that notes what is done to it, and answers as it was told to."""

    lives: bool = True
    settles: bool = True
    ends: list[str] = field(default_factory=list)
    asked: int = 0

    def alive(self) -> bool:
        self.asked += 1
        return self.lives

    def settle(self) -> bool:
        return self.settles

    def close(self, *, politely: bool = False) -> None:
        self.ends.append("politely" if politely else "at once")


def pool_of(*sessions: Told, connections: int = 1, rest: float = 0.0) -> Pool[Told, None]:
    making = iter(sessions)
    return Pool(lambda: next(making), "fake://host", connections, None, rest=rest)


def uses(pool: Pool[Told, None]) -> Iterator[Told]:
    with Lease(pool) as lease:
        while True:
            yield lease.session


def fails(pool: Pool[Told, None], trouble: BaseException, *, is_open: bool = False) -> None:
    with Lease(pool) as lease:
        assert lease.session.ends == []
        with lease.dropped_unless_done() if is_open else nullcontext():
            raise trouble


def test_session_is_used_again_when_a_caller_asks_for_no_more() -> None:
    first = Told()
    pool = pool_of(first, Told())
    for _ in range(3):
        answers = uses(pool)
        assert next(answers) is first
        answers.close()  # type: ignore[attr-defined] # a generator
    assert first.ends == []


@pytest.mark.parametrize("trouble", [Cut("lost"), Silence("frozen"), Garbled("nonsense"), KeyError("our own")])
def test_session_that_may_be_to_blame_is_not_used_again(trouble: Exception) -> None:
    first, second = Told(), Told()
    pool = pool_of(first, second)
    with pytest.raises(type(trouble)):
        fails(pool, trouble)
    assert first.ends == ["at once"]
    assert next(uses(pool)) is second


def test_session_survives_what_is_wrong_with_a_file() -> None:
    first = Told()
    pool = pool_of(first)
    with pytest.raises(Gone):
        fails(pool, Gone("no such file"))
    assert next(uses(pool)) is first


@pytest.mark.parametrize("leave", [GeneratorExit(), Gone("no such folder")])
def test_session_on_which_something_is_open_is_ended(leave: BaseException) -> None:
    first = Told()
    with pytest.raises(type(leave)):
        fails(pool_of(first), leave, is_open=True)
    assert first.ends == ["at once"]


def test_session_in_the_middle_of_something_is_not_used_again() -> None:
    first, second = Told(settles=False), Told()
    pool = pool_of(first, second)
    for session in (first, second, second):
        with Lease(pool) as lease:
            assert lease.session is session
    assert first.ends == ["politely"]


def test_session_that_ended_while_it_rested_is_replaced() -> None:
    first, second = Told(lives=False), Told()
    pool = pool_of(first, second)
    for session in (first, second):
        with Lease(pool) as lease:
            assert lease.session is session
    assert first.ends == ["at once"]


def test_session_that_hardly_rested_is_not_asked_whether_it_lives() -> None:
    first = Told()
    pool = pool_of(first, rest=60.0)
    for _ in range(3):
        with Lease(pool) as lease:
            assert lease.session is first
    assert first.asked == 0


def test_session_from_before_a_close_is_ended_when_it_comes_back() -> None:
    first, second = Told(), Told()
    pool = pool_of(first, second)
    with Lease(pool) as lease:
        assert lease.session is first
        pool.close()
        assert first.ends == []
    assert first.ends == ["politely"]
    assert next(uses(pool)) is second


def test_second_line_is_given_only_while_another_place_stays_free() -> None:
    with Lease(pool_of(Told(), connections=2)) as lease:
        assert lease.beside() is None
    with Lease(pool_of(Told(), Told(), connections=3)) as lease:
        beside = lease.beside()
        assert beside is not None
        assert lease.beside() is None
        beside.release()


def test_thread_that_would_wait_for_itself_is_told_so() -> None:
    pool = pool_of(Told())
    with Lease(pool), pytest.raises(RuntimeError, match="would wait for itself"):
        Lease(pool)
