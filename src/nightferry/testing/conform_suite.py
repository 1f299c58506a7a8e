"""The ground of the store conformance suite: fixtures, awkward names, and which tests are made for whom."""

from collections.abc import Callable, Iterator
from typing import ClassVar, TypeVar

import pytest

from nightferry.core.store import Store
from nightferry.testing.conform_stage import Fault, Limit, StoreStage

Test = TypeVar("Test", bound=Callable[..., None])

#: Names that astronomers, cameras and bad luck produce; each must travel through a store unchanged.
AWKWARD_NAMES = (
    b" leading blank.fits",
    b"  two leading blanks.fits",
    b"trailing blank.fits ",
    b"two  blanks.fits",
    b'it\'s a "quoted" name.fits',
    b"100%.fits",
    b"%2e%2e%2fescaped.fits",
    b"M 31 #3?a=b&c.fits",
    b"not utf-8 \xff\xe9\x80.fits",
    "Androme\u0301de, decomposed.fits".encode(),
    "Androm\u00e9de, composed \u2605 \U0001f52d.fits".encode(),
    b"a -> b.fits",
    b"semi;colon, comma.fits",
    b"[1-3]*{a,b}.fits",
    b"-rf.fits",
    b"~root.fits",
    b"$HOME `id`.fits",
    b"..hidden.fits",
    b"...",
    b"22:39:23.fits",
    b"escape \x1b[31m.fits",
    b"n" * 195 + b".fits",
)


def needs(*faults: Fault) -> Callable[[Test], Test]:
    """Make the test only for stages that can play these faults."""

    def mark(test: Test) -> Test:
        vars(test)["needs"] = frozenset(faults)
        return test

    return mark


def barred_by(*limits: Limit) -> Callable[[Test], Test]:
    """Make the test only for stores without these limits."""

    def mark(test: Test) -> Test:
        vars(test)["barred_by"] = frozenset(limits)
        return test

    return mark


def fits(test: object, faults: frozenset[Fault], limits: frozenset[Limit]) -> bool:
    """Tell whether a test is made for a stage with these faults and a store with these limits."""
    marks = getattr(test, "__dict__", {})
    return marks.get("needs", frozenset()) <= faults and not marks.get("barred_by", frozenset()) & limits


class Suite:
    """What the parts of the suite have in common."""

    faults: ClassVar[frozenset[Fault]] = frozenset()
    limits: ClassVar[frozenset[Limit]] = frozenset()
    #: The names that the far side's own file system can hold, of all that could be asked of it.
    names: ClassVar[tuple[bytes, ...]] = AWKWARD_NAMES
    #: Seconds within which any answer must come while the far side misbehaves.
    patience: ClassVar[float] = 20.0

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make one test of each awkward name for those that ask for it."""
        if "awkward" in metafunc.fixturenames:
            metafunc.parametrize("awkward", self.names, ids=ascii)

    @pytest.fixture
    def stage(self) -> StoreStage:
        """Give the far side; every subclass has its own."""
        raise NotImplementedError("give your subclass of StoreConformance a fixture `stage`")

    @pytest.fixture
    def store(self, stage: StoreStage) -> Iterator[Store]:
        """Give a fresh store on the stage's root, and close it afterwards."""
        store = stage.store()
        yield store
        store.close()
