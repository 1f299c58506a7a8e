"""Arrivals of stores that move files over sessions: the call that made one does its work."""

from typing import Generic, Protocol, TypeVar

from nightferry.core.store import Entry, Want


class Course(Protocol):
    """One want's transfer, as its store keeps it."""

    @property
    def want(self) -> Want:
        """What was asked for."""
        ...


C = TypeVar("C", bound=Course)
C_contra = TypeVar("C_contra", bound=Course, contravariant=True)


class Fetching(Protocol[C_contra]):
    """A call of `Store.fetch` that knows how its arrivals are read and finished."""

    def read(self, course: C_contra, buffer: memoryview) -> int:
        """Fill the buffer; see `Arrival.read_into`."""
        ...

    def finish(self, course: C_contra) -> Entry:
        """Have the file compared with the want; see `Arrival.finish`."""
        ...


class SessionArrival(Generic[C]):
    """One file on its way in; see `nightferry.core.store.Arrival`."""

    __slots__ = ("_course", "_fetch")

    def __init__(self, fetch: Fetching[C], course: C) -> None:
        self._fetch = fetch
        self._course = course

    @property
    def want(self) -> Want:
        """What was asked for."""
        return self._course.want

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer; see `Arrival.read_into`."""
        return self._fetch.read(self._course, buffer)

    def finish(self) -> Entry:
        """Have the file compared with the want; see `Arrival.finish`."""
        return self._fetch.finish(self._course)
