"""The ground of the store conformance suite: awkward names, and which tests are made for whom, with which values."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar, Protocol, TypeVar

from nightferry.testing.conform_stage import Fault, Limit

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
    """Return whether a test is made for a stage with these faults and a store with these limits."""
    marks = getattr(test, "__dict__", {})
    return marks.get("needs", frozenset()) <= faults and not marks.get("barred_by", frozenset()) & limits


def each(name: str, *values: object) -> Callable[[Test], Test]:
    """Make one test of each value of the argument ``name``."""

    def mark(test: Test) -> Test:
        vars(test)["each"] = (name, values)
        return test

    return mark


class Caught:
    """The error that a block of `raises` ended with."""

    def __init__(self) -> None:
        self.error: BaseException | None = None


@contextmanager
def raises(*kinds: type[Exception]) -> Iterator[Caught]:
    """Fail unless the block ends with an error of one of these kinds, and give that error."""
    caught = Caught()
    try:
        yield caught
    except kinds as err:
        caught.error = err
        return
    expected = " or ".join(kind.__name__ for kind in kinds)
    raise AssertionError(f"expected {expected}, but nothing was raised")


class Asked(Protocol):
    """What a test runner tells of a test before it makes its cases; pytest's ``Metafunc`` is one."""

    fixturenames: list[str]

    @property
    def function(self) -> Callable[..., object]:
        """The test."""
        ...

    def parametrize(self, argnames: str, argvalues: Iterable[object], *, ids: Callable[[object], str] | None) -> None:
        """Make one case of each value."""
        ...


class Suite:
    """What the parts of the suite have in common."""

    faults: ClassVar[frozenset[Fault]] = frozenset()
    limits: ClassVar[frozenset[Limit]] = frozenset()
    #: The names that the far side's own file system can hold, of all that could be asked of it.
    names: ClassVar[tuple[bytes, ...]] = AWKWARD_NAMES
    #: Seconds within which any answer must come while the far side misbehaves.
    patience: ClassVar[float] = 180.0

    def pytest_generate_tests(self, metafunc: Asked) -> None:
        """Make the cases of a test: one of each awkward name, or of each value that it stands for."""
        if "awkward" in metafunc.fixturenames:
            metafunc.parametrize("awkward", self.names, ids=ascii)
        name, values = getattr(metafunc.function, "each", ("", ()))
        if name:
            metafunc.parametrize(name, values, ids=None)
