"""Verify: judge a frame by what its bytes said while they arrived. Reads nothing again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nightferry.core.frame import Fact, Frame
from nightferry.core.receipt import Outcome, Result
from nightferry.core.step import VERIFY

#: What of a frame's facts stands in the receipt as proof.
_PROOF = ("kind", "hdus", "naxis", "bitpix", "datasum", "checksums", "warnings")


def _no_doubt(_frame: Frame) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Verify:
    """The step that holds a frame whose file is not whole: truncated, empty, not what its name says.

    ``doubt`` says what is odd about a whole frame; it stands among the warnings of its proof and holds nothing.
    """

    name: str = VERIFY
    version: str = "1"
    target: str = ""
    doubt: Callable[[Frame], str] = _no_doubt

    def __call__(self, batch: Sequence[Frame]) -> Iterator[Result]:
        """Judge each frame; never raises."""
        for frame in batch:
            proof: dict[str, Fact] = {key: frame.facts[key] for key in _PROOF if key in frame.facts}
            problem = str(frame.facts.get("problem", ""))
            if problem:
                yield Result(frame, Outcome.HELD, problem, proof)
            else:
                if doubt := self.doubt(frame):
                    proof["warnings"] = "; ".join(filter(None, (str(proof.get("warnings", "")), doubt)))
                yield Result(frame, Outcome.DONE, "", proof, frame)
