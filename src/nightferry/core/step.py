"""The step: frames in, results out."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

from nightferry.core.frame import Frame, Sighting
from nightferry.core.receipt import Result

Input_contra = TypeVar("Input_contra", Sighting, Frame, contravariant=True)


class Lane(StrEnum):
    """What a step waits for, and so which crew runs it."""

    IO = "io"
    CPU = "cpu"


class Grouping(StrEnum):
    """What a step looks at together."""

    FRAME = "frame"
    CUBE = "cube"
    NIGHT = "night"


class Stage(Protocol):
    """What a receipt says of the step that it comes from."""

    @property
    def name(self) -> str:
        """The step's name in receipts."""
        ...

    @property
    def version(self) -> str:
        """Changes when the step would answer differently, its settings included."""
        ...

    @property
    def target(self) -> str:
        """The archive that a delivery goes to; empty for other steps."""
        ...


class Step(Stage, Protocol[Input_contra]):
    """One stage of a route.

    Called with a batch, it yields one result per input, in order. It raises only for what concerns the whole
    batch (`Unreachable`, `NoSpace`): inputs without a result then share that error.
    """

    @property
    def lane(self) -> Lane:
        """Which crew runs it."""
        ...

    @property
    def grouping(self) -> Grouping:
        """What one call must see together."""
        ...

    def __call__(self, batch: Sequence[Input_contra]) -> Iterator[Result]:
        """Do the work on each input."""
        ...
