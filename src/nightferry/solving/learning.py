"""Learning: one distortion for each instrument, from all of a night's frames.

A frame's own stars tell its distortion poorly; those of twenty frames together tell it well, for the glass is the same
all night. Each frame then keeps a matrix and a place of its own only. What a frame teaches is a small sum, so lessons
of several worker processes add up: the terms of each frame are freed of what its own matrix can take up, and one
small system remains for all of them (Frisch & Waugh 1933, Econometrica 1, 387).
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from nightferry.solving.arrays import Floats
from nightferry.solving.model import Answer, Solution
from nightferry.solving.refine import measured_again, norm_of, normal_places, refit, straight_places
from nightferry.solving.warp import POWERS, Warp, powers

#: Frames and matches from which a distortion is taken as learnt.
LEAST_FRAMES, LEAST_MATCHES = 5, 200
#: Frames beyond which an instrument is known well enough.
MOST_FRAMES = 100
_FEWEST = 10  # matches of a frame that teaches: three tell its matrix
_GAIN = 0.98  # what is learnt must lessen the scatter to this share, or the plane stays plane
_FORM = 1


@dataclass(frozen=True, slots=True)
class Lesson:
    """What frames of one instrument taught: the normal equations of a warp, and the sum of squares without one."""

    norm: float
    frames: int
    matches: int
    normal: Floats
    right: Floats
    rest: float

    def plus(self, other: "Lesson") -> "Lesson":
        """Add another lesson of the same instrument."""
        return Lesson(
            self.norm,
            self.frames + other.frames,
            self.matches + other.matches,
            self.normal + other.normal,
            self.right + other.right,
            self.rest + other.rest,
        )

    def warp(self) -> Warp | None:
        """Return the distortion, once enough was seen and it is one."""
        if self.frames < LEAST_FRAMES or self.matches < LEAST_MATCHES or self.rest <= 0:
            return None
        found, *_ = np.linalg.lstsq(self.normal, self.right, rcond=None)
        after = max(0.0, self.rest - float(np.sum(self.right * found)))
        if math.sqrt(after / self.rest) > _GAIN:
            return None
        return Warp("learnt", self.norm, tuple(found[:, 0].tolist()), tuple(found[:, 1].tolist()))

    def text(self) -> str:
        """Write for keeping."""
        told = {"form": _FORM, "norm": self.norm, "frames": self.frames, "matches": self.matches, "rest": self.rest}
        return json.dumps({**told, "normal": self.normal.tolist(), "right": self.right.tolist()})


def read_lesson(text: str) -> Lesson | None:
    """Read what `Lesson.text` wrote; None for anything else, for it can be learnt again."""
    try:
        told = json.loads(text)
        if told["form"] != _FORM:
            return None
        normal, right = (np.array(told[name], dtype=float) for name in ("normal", "right"))
        lesson = Lesson(
            float(told["norm"]), int(told["frames"]), int(told["matches"]), normal, right, float(told["rest"])
        )
    except (ValueError, KeyError, TypeError):
        return None
    return lesson if normal.shape == (len(POWERS),) * 2 and right.shape == (len(POWERS), 2) else None


def lesson_of(answer: Answer) -> Lesson | None:
    """Return what a frame teaches; None for one without a solution of its own, or with too few stars."""
    solution = answer.solution
    if solution is None or solution.checked or solution.fit.matches.count < _FEWEST:
        return None
    matches, norm = solution.fit.matches, norm_of(answer.size)
    flat = refit(matches, solution.wcs, answer.size, Warp("none", norm))
    u, v = normal_places(matches, answer.size, norm)
    x, y = straight_places(matches, flat, norm)
    basis, _ = np.linalg.qr(np.stack([np.ones_like(u), u, v], axis=1))
    terms, shifts = powers(u, v), np.stack([x - u, y - v], axis=1)
    terms = terms - basis @ (basis.T @ terms)
    shifts = shifts - basis @ (basis.T @ shifts)
    return Lesson(norm, 1, matches.count, terms.T @ terms, terms.T @ shifts, float(np.sum(shifts**2)))


def added(lessons: Mapping[str, Lesson], instrument: str, lesson: Lesson | None) -> dict[str, Lesson]:
    """Add a lesson to those of its instrument; what is known well enough stays as it is."""
    known = lessons.get(instrument)
    if lesson is None or (known is not None and (known.frames >= MOST_FRAMES or abs(known.norm - lesson.norm) > 1)):
        return dict(lessons)
    return {**lessons, instrument: lesson if known is None else known.plus(lesson)}


def learn(answers: Iterable[Answer]) -> dict[str, Warp]:
    """Return the distortion of each instrument that enough frames are of."""
    lessons: dict[str, Lesson] = {}
    for answer in answers:
        lessons = added(lessons, answer.instrument, lesson_of(answer))
    return {name: warp for name, lesson in lessons.items() if (warp := lesson.warp()) is not None}


def relearnt(answer: Answer, warp: Warp) -> Solution | None:
    """Fit a solved frame anew under a learnt distortion; None where it has no solution of its own to fit."""
    solution = answer.solution
    if solution is None or solution.checked:
        return None
    wcs = refit(solution.fit.matches, solution.wcs, answer.size, warp)
    return replace(solution, fit=measured_again(solution.fit, wcs, warp))
