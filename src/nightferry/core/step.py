"""The step: frames in, results out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from nightferry.core.frame import Fact, Frame, FrameId, Sighting
from nightferry.core.receipt import Receipt, Result

Input_contra = TypeVar("Input_contra", Sighting, Frame, contravariant=True)


#: The names of steps in receipts and routes.
PULL, VERIFY, SOLVE, STANDARDISE, VALIDATE, CUBE, DELIVER, CLEAR = (
    "pull", "verify", "solve", "standardise", "validate", "cube", "deliver", "clear",
)  # fmt: skip
#: What receipts say besides: of a sighting, of what was read back, and of a person's word. `LIST` is where a frame
#: stands that a rule leaves at the telescope.
SIGHT, AUDIT, RELEASE, LIST = "sight", "audit", "release", "list"
#: Steps that only say yes or no: a person's release overrules them, where any other held step is tried again.
JUDGES = frozenset({VERIFY, VALIDATE})


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

    def __call__(self, batch: Sequence[Input_contra]) -> Iterator[Result]:
        """Do the work on each input."""
        ...


@dataclass(frozen=True, slots=True)
class Recalled:
    """What an earlier call left of a frame: its product (``done``), or the input with what makes it alike again."""

    frame: Frame
    done: bool


class ProcessingStep(Step[Frame], Protocol):
    """A step of the computing lane that looks at one frame at a time: solve, standardise, validate.

    The conductor fuses those that follow each other into one task for the pool, so a step and all it holds must be
    picklable. The product of each is the input of the next: another frame with the input among its parents, or the
    input itself with more facts. A held or failed frame goes no further. Works see no ledger; receipts name the raw
    frame that a chain of works began with, so that the balance counts it once.
    """

    @property
    def former(self) -> str:
        """What old releases called the version of the very same settings; empty for a step that they had not."""
        ...

    def recall(self, frame: Frame, receipt: Receipt) -> Recalled:
        """Return what an earlier call left of this input, from its receipt, which says done."""
        ...


@dataclass(frozen=True, slots=True)
class Group:
    """Frames that belong together in one product, in their order.

    ``key`` names the group among those of its night; ``edition`` counts from 1 how often it was made of other members.
    ``memory`` is the proof of an earlier call with this very group, whose product was lost: it is made alike again.
    """

    key: str
    members: tuple[Frame, ...]
    edition: int = 1
    memory: Mapping[str, Fact] = field(default_factory=dict)


class GroupStep(Stage, Protocol):
    """A step that makes one product of many frames of a night: the cube. It waits at a gate until the night is whole.

    A late frame makes another group, and so another product: ``edition`` must stand in its name, for what is delivered
    is never overwritten. Picklable, as a processing step is: the pool calls it.
    """

    @property
    def former(self) -> str:
        """What old releases called the version of the very same settings; empty for a step that they had not."""
        ...

    def groups(self, frames: Sequence[Frame]) -> tuple[Sequence[Group], Sequence[tuple[Frame, str]]]:
        """Sort a night's frames into groups, by name and facts alone.

        Second come frames that the settings leave out of every group, each with the reason; frames that no group is
        for, such as those that focus a telescope, are in neither.
        """
        ...

    def __call__(self, group: Group, identity: FrameId) -> Result:
        """Make the product of one group, a frame of that identity with the members as parents.

        All members lie on the shelf. The result's source is the first member; raises `Held` and `TryAgain`.
        """
        ...

    def recall(self, group: Group, receipt: Receipt) -> Frame | None:
        """Return the product that an earlier call made, on the shelf still or not; None when the receipt names none."""
        ...
