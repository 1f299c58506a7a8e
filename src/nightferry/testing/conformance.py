"""The store conformance suite: what every store must do, as tests that run against any of them.

A store's author writes a `StoreStage`, the far side under the test's control, and a subclass with two fixtures::

    class TestMyStore(StoreConformance):
        faults = MyStage.FAULTS              # the misbehaviours that the stage can play
        limits = frozenset({Limit.LINKS})    # what the store cannot do by its nature

        @pytest.fixture
        def stage(self, tmp_path: Path) -> Iterator[StoreStage]:
            with my_server(tmp_path) as server:
                yield MyStage(server)

        @pytest.fixture
        def store(self, stage: StoreStage) -> Iterator[Store]:
            with closing(stage.store()) as store:
                yield store

pytest collects the subclass; tests for faults that are not offered and for abilities that are not there are not made
at all. Nothing here imports pytest: any runner will do that gives the tests their arguments.
`nightferry.testing.conform_memory` has a stage around the in-memory store to start from.
"""

from typing import ClassVar

from nightferry.testing.conform_faults import FaultConformance
from nightferry.testing.conform_fetch import FetchConformance
from nightferry.testing.conform_list import ListConformance
from nightferry.testing.conform_put import PutConformance
from nightferry.testing.conform_stage import Fault, Limit, StoreStage, carry, generated
from nightferry.testing.conform_suite import AWKWARD_NAMES, fits

__all__ = ["AWKWARD_NAMES", "Fault", "Limit", "StoreConformance", "StoreStage", "carry", "generated"]


class StoreConformance(ListConformance, FetchConformance, PutConformance, FaultConformance):
    """All that holds for every store; subclass it, give it a ``stage``, and declare ``faults`` and ``limits``."""

    #: The tests left out of a subclass, with what it does not offer; for those who want to see them.
    left_out: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        """Leave out the tests that the declared faults and limits do not allow, so that none is ever skipped."""
        super().__init_subclass__()
        tests: dict[str, object] = {}
        for ancestor in cls.__mro__:
            for name, test in vars(ancestor).items():
                if name.startswith("test_") and test is not None:
                    tests.setdefault(name, test)
        cls.left_out = frozenset(name for name, test in tests.items() if not fits(test, cls.faults, cls.limits))
        for name, test in tests.items():
            setattr(cls, name, None if name in cls.left_out else test)

    def test_every_fault_of_the_stage_is_declared(self, stage: StoreStage) -> None:
        """What the stage can play and what the suite was told are the same, so no test is left out unseen."""
        assert stage.faults == self.faults
