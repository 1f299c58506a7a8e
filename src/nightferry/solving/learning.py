"""Learning: one distortion for each instrument, from all of a night's frames.

A frame's own stars tell its distortion poorly; those of twenty frames together tell it well, for the glass is the same
all night. Each frame then keeps a matrix and a place of its own only.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from nightferry.solving.model import Answer, Fit, Solution
from nightferry.solving.refine import measured_again, norm_of, normal_places, refit, straight_places
from nightferry.solving.warp import Places, Warp, pooled

#: Frames and matches from which a distortion is taken as learnt, and frames that are remembered.
LEAST_FRAMES, LEAST_MATCHES, MOST_FRAMES = 5, 200, 60
_GAIN = 0.98  # what is learnt must lessen the scatter to this share, or the plane stays plane


@dataclass
class Lessons:
    """What an instrument's frames taught until now."""

    norm: float
    frames: list[Places] = field(default_factory=list)

    def add(self, answer: Answer) -> bool:
        """Take a frame's matches; False for a frame that teaches nothing."""
        solution = answer.solution
        if solution is None or solution.checked or solution.fit.matches.count < 10:  # noqa: PLR2004 - three tell a matrix
            return False
        self.frames = [*self.frames, _places(solution.fit, answer.size)][-MOST_FRAMES:]
        return True

    def warp(self) -> Warp | None:
        """Tell the distortion, once enough was seen and it is one."""
        matches = sum(places[0].size for places in self.frames)
        if len(self.frames) < LEAST_FRAMES or matches < LEAST_MATCHES:
            return None
        learnt = pooled(self.frames, self.norm)
        before, after = (_scatter(self.frames, warp) for warp in (Warp("none", self.norm), learnt))
        return learnt if after < _GAIN * before else None


def learn(answers: Iterable[Answer]) -> dict[str, Warp]:
    """Tell the distortion of each instrument that enough frames are of."""
    lessons: dict[str, Lessons] = {}
    for answer in answers:
        lessons.setdefault(answer.instrument, Lessons(norm_of(answer.size))).add(answer)
    return {name: warp for name, found in lessons.items() if (warp := found.warp()) is not None}


def relearnt(answer: Answer, warp: Warp) -> Solution | None:
    """Fit a solved frame anew under a learnt distortion; None where it has no solution of its own to fit."""
    solution = answer.solution
    if solution is None or solution.checked:
        return None
    wcs = refit(solution.fit.matches, solution.wcs, answer.size, warp)
    return replace(solution, fit=measured_again(solution.fit, wcs, warp))


def _places(fit: Fit, size: tuple[int, int]) -> Places:
    """Tell matched stars' places in frame and plane, the plane's as a plain matrix sees them."""
    norm = norm_of(size)
    flat = refit(fit.matches, fit.wcs, size, Warp("none", norm))
    return (*normal_places(fit.matches, size, norm), *straight_places(fit.matches, flat, norm))


def _scatter(frames: Iterable[Places], warp: Warp) -> float:
    """Tell the scatter that is left with a warp, each frame with the best matrix of its own."""
    total, count = 0.0, 0
    for u, v, x, y in islice(frames, MOST_FRAMES):
        straight_u, straight_v = warp.apply(u, v)
        terms = np.stack([np.ones_like(u), straight_u, straight_v], axis=1)
        wanted = np.stack([x, y], axis=1)
        found, *_ = np.linalg.lstsq(terms, wanted, rcond=None)
        total += float(np.sum((wanted - terms @ found) ** 2))
        count += u.size
    return math.sqrt(total / max(count, 1))
